//! A connection to Redis that leaves a server which takes no writes.
//!
//! The address may be stable while the server behind it changes: after a failover an open connection
//! goes on to the old one, which is a replica now, and answers READONLY for ever. Whatever answers so
//! is left here, and the next command connects anew. Reports to its [`Dependency`] what fails. Knows
//! no keys.

use crate::dependency::{Class, Dependency, Evidence, Fault, Trouble, Validity};
use crate::network::Address;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct RedisLink(Arc<Inner>);

struct Inner {
    address: Address,
    config: ConnectionManagerConfig,
    current: Mutex<Current>,
    validity: Validity,
    dependency: Dependency,
}

struct Current {
    manager: ConnectionManager,
    opened: Instant,
}

impl RedisLink {
    /// Connects with the first command.
    ///
    /// # Errors
    /// Where the address is none of a Redis.
    pub fn lazy(
        address: &Address,
        config: ConnectionManagerConfig,
        dependency: Dependency,
    ) -> RedisResult<RedisLink> {
        let manager = ConnectionManager::new_lazy_with_config(address.redis()?, config.clone())?;
        Ok(RedisLink(Arc::new(Inner {
            address: address.clone(),
            config,
            current: Mutex::new(Current {
                manager,
                opened: Instant::now(),
            }),
            validity: Validity::new(),
            dependency,
        })))
    }

    /// Connects now.
    ///
    /// # Errors
    /// As the server answers, or does not.
    pub async fn connect(
        address: &Address,
        config: ConnectionManagerConfig,
        dependency: Dependency,
    ) -> RedisResult<RedisLink> {
        let link = RedisLink::lazy(address, config, dependency)?;
        // Not through the link: what fails at the start is the caller's to tell.
        let mut manager = link.manager();
        redis::cmd("PING").query_async::<()>(&mut manager).await?;
        Ok(link)
    }

    /// How the server fares.
    pub fn dependency(&self) -> &Dependency {
        &self.0.dependency
    }

    fn manager(&self) -> ConnectionManager {
        let inner = &*self.0;
        let mut current = inner.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.validity.covers(current.opened.elapsed()) {
            let config = inner.config.clone();
            // With the password as it is now. Where the address is none any more, the old one stays.
            let manager = inner.address.redis();
            let manager =
                manager.and_then(|it| ConnectionManager::new_lazy_with_config(it, config));
            if let Ok(manager) = manager {
                current.manager = manager;
                current.opened = Instant::now();
            }
        }
        current.manager.clone()
    }

    fn note(&self, error: &RedisError) {
        let Some(fault) = redis_fault(error) else {
            return;
        };
        if leaves(fault.class()) {
            self.0.validity.revoke();
        }
        let trouble = Trouble::new(fault, error.to_string());
        self.0.dependency.failed(trouble);
    }

    fn look_into(&self, value: &Value) {
        match value {
            Value::ServerError(error) => self.note(&error.clone().into()),
            // What a script or a transaction answers; lists of jobs hold no errors.
            Value::Array(values) => {
                for value in values {
                    if matches!(value, Value::ServerError(_)) {
                        self.look_into(value);
                    }
                }
            }
            _ => {}
        }
    }

    fn look(&self, answered: &RedisResult<Value>) {
        match answered {
            Err(error) => self.note(error),
            Ok(value) => {
                self.look_into(value);
                if !matches!(value, Value::ServerError(_)) {
                    self.0.dependency.worked(Evidence::Read);
                }
            }
        }
    }
}

impl ConnectionLike for RedisLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut manager = self.manager();
            let answered = manager.req_packed_command(cmd).await;
            self.look(&answered);
            answered
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut manager = self.manager();
            let answered = manager.req_packed_commands(pipeline, offset, count).await;
            match &answered {
                Err(error) => self.note(error),
                Ok(values) => values.iter().for_each(|value| self.look_into(value)),
            }
            answered
        })
    }

    fn get_db(&self) -> i64 {
        self.manager().get_db()
    }
}

/// Whether another connection, perhaps to another server, may fare better.
fn leaves(class: Class) -> bool {
    matches!(
        class,
        Class::Replica | Class::NotServing | Class::CredentialsRejected
    )
}

/// What the server says, without the wrapping of an error within a script: Redis before 7 answers that
/// with `ERR`, and names the code after a hyphen in the text.
pub fn redis_code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    if code != "ERR" {
        return Some(code);
    }
    let said = error.detail().unwrap_or_default();
    if said.contains("ACL failure in script")
        || said.contains("The user executing the script can't")
    {
        return Some("NOPERM");
    }
    if said.contains("max number of clients") {
        return Some("MAXCLIENTS");
    }
    let wrapped = said.split_whitespace().find_map(|word| {
        let code = word.strip_prefix('-')?;
        let is_code = code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then_some(code)
    });
    Some(wrapped.unwrap_or(code))
}

/// What an error says of the server; none for the faults of a command.
pub fn redis_fault(error: &RedisError) -> Option<Fault> {
    Some(match redis_code(error) {
        // The second is a replica without its primary.
        Some("READONLY" | "MASTERDOWN") => Fault::RedisReplica,
        Some("OOM") => Fault::RedisFull,
        Some("MISCONF") => Fault::RedisDisk,
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN") => Fault::RedisBusy,
        Some("NOREPLICAS") => Fault::RedisReplicasMissing,
        Some("WRONGTYPE") => Fault::RedisForeignKeys,
        Some("NOPERM") => Fault::RedisPermission,
        Some("NOAUTH" | "WRONGPASS") => Fault::RedisCredentials,
        Some("MAXCLIENTS") => Fault::RedisClients,
        Some(_) => return None,
        None if error.kind() == redis::ErrorKind::AuthenticationFailed => Fault::RedisCredentials,
        None if error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal() =>
        {
            Fault::RedisUnreachable
        }
        None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_redis_has_a_class_also_from_within_a_script() {
        let class = |line: &str| {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            let error = value.extract_error().unwrap_err();
            redis_fault(&error).map(Fault::class)
        };
        for (line, wanted) in [
            (
                "READONLY You can't write against a read only replica.",
                Some(Class::Replica),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write \
                 against a read only replica.",
                Some(Class::Replica),
            ),
            ("MASTERDOWN Link with MASTER is down", Some(Class::Replica)),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Some(Class::Full),
            ),
            (
                "ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command \
                 not allowed when used memory > 'maxmemory'.",
                Some(Class::Full),
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                Some(Class::Corrupt),
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                Some(Class::Full),
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                Some(Class::NotServing),
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Some(Class::NotServing),
            ),
            (
                "NOPERM No permissions to access a key",
                Some(Class::NoPermission),
            ),
            (
                "ERR ACL failure in script: User has no permissions script: f_1, on @user_script:3.",
                Some(Class::NoPermission),
            ),
            (
                "NOAUTH Authentication required.",
                Some(Class::CredentialsRejected),
            ),
            (
                "WRONGPASS invalid username-password pair",
                Some(Class::CredentialsRejected),
            ),
            (
                "ERR max number of clients reached",
                Some(Class::Unreachable),
            ),
            ("NOSCRIPT No matching script.", None),
            (
                "ERR Cant fetch next: worker not registered script: f1, on @user_script:21.",
                None,
            ),
            ("ERR unknown command 'EVALSHA'", None),
        ] {
            assert_eq!(class(line), wanted, "{line}");
        }
    }
}
