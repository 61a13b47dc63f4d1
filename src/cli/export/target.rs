//! Where an export goes: standard output, a device or a pipe, or a file that appears once it is whole.
//!
//! A file is written under a name of its own in the target's folder, created exclusively, and renamed
//! over the target at the end. So a reader sees the last export or this one, two exports to the same
//! target never mix (the one that ends last stays), and no file of somebody else is touched. A symbolic
//! link is followed: what it names is replaced, the link stays. Dropped before the end, nothing stays.

use anyhow::{Context, anyhow, bail};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// More links than any system follows.
const MAX_LINKS: u32 = 40;

/// An opened output.
pub(super) enum Target {
    Stdout,
    /// A device, a pipe or an open descriptor: written as it is.
    Stream {
        file: File,
        path: PathBuf,
    },
    /// A file that is not in its place yet.
    Pending {
        file: NamedTempFile,
        path: PathBuf,
        replaced: Option<Replaced>,
    },
}

/// What stays of the file that is replaced.
#[derive(Clone, Copy)]
pub(super) struct Replaced {
    mode: u32,
    owner: u32,
    group: u32,
}

impl From<Metadata> for Replaced {
    fn from(known: Metadata) -> Replaced {
        Replaced {
            mode: known.mode() & 0o777,
            owner: known.uid(),
            group: known.gid(),
        }
    }
}

/// What a path names after all links.
enum Named {
    Stdout,
    /// A descriptor that this process was started with.
    Descriptor(PathBuf),
    Path(PathBuf),
}

impl Target {
    /// Opens standard output, or what `output` names (`-` is standard output).
    pub(super) fn open(output: Option<&Path>) -> anyhow::Result<Target> {
        let Some(given) = output else {
            return Ok(Target::Stdout);
        };
        let cannot = || format!("{} cannot be written", given.display());
        let path = match named(given).with_context(cannot)? {
            Named::Stdout => return Ok(Target::Stdout),
            Named::Descriptor(path) => return Target::stream(path),
            Named::Path(path) => path,
        };
        let replaced = match fs::metadata(&path) {
            Ok(known) if known.is_dir() => bail!(
                "{} is a folder; name a file in it: --output {}",
                given.display(),
                given.join("submissions.ndjson").display()
            ),
            Ok(known) if !known.is_file() => return Target::stream(path),
            Ok(known) => {
                // Replacing a file takes rights on its folder only: one that is read-only says that it
                // is to stay.
                OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .with_context(cannot)?;
                Some(Replaced::from(known))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(in_folder(folder_of(&path), given, &error)),
        };
        let folder = folder_of(&path);
        // Nobody reads what will be readable by few; a new file is as any other program makes it.
        let mode = if replaced.is_some() { 0o600 } else { 0o666 };
        let file = tempfile::Builder::new()
            .prefix(".freshet-export-")
            .suffix(".partial")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder)
            .map_err(|error| in_folder(folder, given, &error))?;
        Ok(Target::Pending {
            file,
            path,
            replaced,
        })
    }

    fn stream(path: PathBuf) -> anyhow::Result<Target> {
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Target::Stream { file, path })
    }

    /// What is written to.
    pub(super) fn writer(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Target::Stdout => Box::new(io::stdout()),
            Target::Stream { file, .. } => Box::new(file.try_clone()?),
            Target::Pending { file, .. } => Box::new(file.as_file().try_clone()?),
        })
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Target::Stdout => "standard output".to_owned(),
            Target::Stream { path, .. } | Target::Pending { path, .. } => {
                path.display().to_string()
            }
        }
    }

    /// Whether it is a file that is not in its place yet.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Target::Pending { .. })
    }

    /// Puts a whole file in its place.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Target::Pending {
            file,
            path,
            replaced,
        } = self
        else {
            return Ok(());
        };
        let cannot = || format!("{} cannot be written", path.display());
        if let Some(replaced) = replaced {
            keep_owner(file.as_file(), replaced);
            let mode = Permissions::from_mode(replaced.mode);
            file.as_file().set_permissions(mode).with_context(cannot)?;
        }
        file.as_file().sync_all().with_context(cannot)?;
        file.persist(&path).map_err(|failed| {
            anyhow!(failed.error).context(format!(
                "{} is complete, but cannot be moved to {} (is the folder still there, and does \
                 nothing else hold that name?)",
                failed.file.path().display(),
                path.display()
            ))
        })?;
        // That the name is on disk too is more than most programs promise; some file systems refuse.
        let _ = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Only the superuser gives files away; others keep at least a group that they are in.
fn keep_owner(file: &File, replaced: Replaced) {
    let (owner, group) = (Some(replaced.owner), Some(replaced.group));
    if fchown(file, owner, group).is_err() {
        let _ = fchown(file, None, group);
    }
}

fn in_folder(folder: &Path, given: &Path, error: &io::Error) -> anyhow::Error {
    let (folder, given) = (folder.display(), given.display());
    match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("{given} cannot be written: the folder {folder} does not exist; make it first")
        }
        io::ErrorKind::NotADirectory => {
            anyhow!("{given} cannot be written: {folder} is not a folder")
        }
        _ => anyhow!(
            "{given} cannot be written: no file can be created in {folder}: {error}\n  \
             An export is a new file there until it is complete. To write into an existing file \
             instead: freshet export … > {given}"
        ),
    }
}

/// Follows links one by one: one may lead to a descriptor, which is no file of a folder, though the
/// system shows it as a link to one.
fn named(given: &Path) -> io::Result<Named> {
    if given == Path::new("-") {
        return Ok(Named::Stdout);
    }
    let text = given.as_os_str().as_encoded_bytes();
    if text.is_empty() || text.ends_with(b"/") && !given.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no file's name",
        ));
    }
    let mut path = given.to_owned();
    for _ in 0..MAX_LINKS {
        if let Some(number) = descriptor(&path) {
            return Ok(if number == 1 {
                Named::Stdout
            } else {
                Named::Descriptor(path)
            });
        }
        let Ok(link) = fs::read_link(&path) else {
            return Ok(Named::Path(path));
        };
        path = path.parent().map_or(link.clone(), |it| it.join(&link));
    }
    Err(io::Error::other("it is a link that leads back to itself"))
}

/// The number of one of this process's descriptors, by the names that systems give them.
fn descriptor(path: &Path) -> Option<u32> {
    let folder = path.parent()?.to_str()?;
    let own = format!("/proc/{}/fd", std::process::id());
    let known = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own];
    let number = path.file_name()?.to_str()?.parse().ok();
    number.filter(|_| known.contains(&folder))
}
