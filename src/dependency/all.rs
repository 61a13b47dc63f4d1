//! All dependencies of one process, and whether it can do its work with them as they are.

use super::{Dependency, Evidence, Service, State};
use std::time::Duration;

/// All dependencies of a process.
#[derive(Debug, Default)]
pub struct Dependencies(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    dependency: Dependency,
    need: Need,
}

/// What a process needs of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is not ready without, and evidence of this kind is due now and then.
    Evidence(Evidence),
    /// It is ready all the same: no restart and no other process would help.
    Shown,
}

impl Dependencies {
    /// Without evidence for so long, a process is not ready: whatever keeps it from finding out.
    const STALE: Duration = Duration::from_secs(45);

    /// Watches one more.
    pub fn watch(&mut self, dependency: &Dependency, need: Need) {
        let dependency = dependency.clone();
        self.0.push(Watched { dependency, need });
    }

    /// All as they are now.
    pub fn states(&self) -> Vec<State> {
        let states = self.0.iter().map(|watched| watched.dependency.state());
        states.collect()
    }

    /// Why each is not as it should be, and whether the process can do without.
    pub fn complaints(&self) -> Vec<(Service, bool, String)> {
        let complaint = |Watched { dependency, need }: &Watched| {
            let state = dependency.state();
            let needed = *need != Need::Shown;
            let why = match (&state.trouble, need) {
                (Some(trouble), _) => trouble.since(state.since),
                (None, Need::Evidence(evidence))
                    if dependency.idle(*evidence) > Dependencies::STALE =>
                {
                    let seconds = dependency.idle(*evidence).as_secs();
                    format!("nothing has succeeded for {seconds} s")
                }
                _ => return None,
            };
            Some((state.service, needed, why))
        };
        self.0.iter().filter_map(complaint).collect()
    }
}
