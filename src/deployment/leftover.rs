//! The nats-server that a killed `up` left running.
//!
//! Owns telling it from every other process, and stopping it. Never touches a server that was not
//! started with this deployment's configuration; one that somebody else started on it is only named,
//! since two servers on one store lose what they acknowledge.
//!
//! A child cannot be made to die with its parent without unsafe code, so the next `up` clears it away.

use super::layout::Layout;
use super::nats_server::CONFIG_OPTION;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to flush and end before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// How long the system may take to end a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often to look whether a process that is not our child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a leftover server could not be stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LeftoverError {
    /// The system refused, most likely because another user started it.
    #[error("nats-server (process {pid}) still runs on {} and cannot be stopped: stop it yourself", config.display())]
    Refused {
        /// The server.
        pid: i32,
        /// The configuration that it runs on.
        config: PathBuf,
        /// The system's reason.
        source: Errno,
    },
    /// Somebody started it by hand, as after `init`: it is not ours to stop.
    #[error("nats-server (process {pid}) runs on {} already, and was not started by `postroad up`: stop it first, or use another --dir", config.display())]
    Foreign {
        /// The server.
        pid: i32,
        /// The configuration that it runs on.
        config: PathBuf,
    },
    /// It outlived even SIGKILL, as a process does that waits for a dead disk.
    #[error("nats-server (process {pid}) still runs on {} and does not end: is its disk answering?", config.display())]
    Immortal {
        /// The server.
        pid: i32,
        /// The configuration that it runs on.
        config: PathBuf,
    },
}

/// Stops every server that runs on this deployment's configuration, and returns their process ids.
/// Blocks until they have ended.
///
/// The caller holds the deployment's lock, so none of them belongs to an `up` that lives.
///
/// # Errors
/// [`LeftoverError`]; nothing is stopped where another server runs on it, too.
pub(crate) fn stop(layout: &Layout) -> Result<Vec<i32>, LeftoverError> {
    refuse_foreign(layout)?;
    let config = layout.nats_config();
    let found: Vec<i32> = candidates(layout)
        .into_iter()
        .filter(|&pid| runs_on(pid, &config))
        .collect();
    for &pid in &found {
        if !ends(pid, &config, Signal::SIGTERM, STOP_WAIT)?
            && !ends(pid, &config, Signal::SIGKILL, KILL_WAIT)?
        {
            return Err(LeftoverError::Immortal { pid, config });
        }
    }
    Ok(found)
}

fn ends(pid: i32, config: &Path, signal: Signal, within: Duration) -> Result<bool, LeftoverError> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => {}
        Err(Errno::ESRCH) => return Ok(true),
        Err(source) => {
            return Err(LeftoverError::Refused {
                pid,
                config: config.to_owned(),
                source,
            });
        }
    }
    let deadline = Instant::now() + within;
    while runs_on(pid, config) {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        // Nobody is told when a process ends that is not one's child, so this has to look.
        thread::sleep(LOOK_EVERY);
    }
    Ok(true)
}

/// Refuses a deployment on which somebody else's server runs.
///
/// # Errors
/// [`LeftoverError::Foreign`].
pub(crate) fn refuse_foreign(layout: &Layout) -> Result<(), LeftoverError> {
    let config = layout.nats_config();
    let foreign = candidates(layout)
        .into_iter()
        .find(|&pid| reads(pid, &config) && !runs_on(pid, &config));
    match foreign {
        Some(pid) => Err(LeftoverError::Foreign { pid, config }),
        None => Ok(()),
    }
}

/// Every process where the system lists them, since a server that was started a moment before its
/// parent was killed has not written its pid file yet; elsewhere the one in the pid file.
fn candidates(layout: &Layout) -> Vec<i32> {
    let listed: Vec<i32> = match fs::read_dir("/proc") {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect(),
        Err(_) => Vec::new(),
    };
    let noted = fs::read_to_string(layout.nats_pid())
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if listed.is_empty() {
        noted.into_iter().collect()
    } else {
        listed
    }
}

/// Whether the process is a server that reads this configuration, however that was named to it.
fn reads(pid: i32, config: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return !Path::new("/proc/self").exists() && runs_on(pid, config);
    };
    let arguments: Vec<String> = line
        .split(|&byte| byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    // A relative path is meant from where the process is.
    let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let is_it = |path: &str| {
        let path = folder.join(path);
        path == config
            || matches!((path.canonicalize(), config.canonicalize()), (Ok(a), Ok(b)) if a == b)
    };
    let named = |argument: &str| {
        let option = argument.trim_start_matches('-');
        ["c=", "config="]
            .iter()
            .find_map(|prefix| option.strip_prefix(prefix).map(str::to_owned))
    };
    let apart = arguments.windows(2).filter_map(|pair| {
        let option = pair[0].strip_prefix('-')?.trim_start_matches('-');
        matches!(option, "c" | "config").then(|| pair[1].clone())
    });
    let joined = arguments.iter().filter_map(|argument| named(argument));
    apart.chain(joined).any(|path| is_it(&path))
}

/// Whether the process is a server that `up` started with this very configuration file. Its command
/// line decides, because process ids are used again; and the option in it counts as well as the file,
/// because an editor may have that open. A zombie has no command line, and is gone.
fn runs_on(pid: i32, config: &Path) -> bool {
    let config = config.to_string_lossy();
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => {
            let arguments: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
            // Every argument ends with a zero, so an empty one follows the last.
            matches!(arguments[..], [_, .., option, file, b""]
                if option == CONFIG_OPTION.as_bytes() && file == config.as_bytes())
        }
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => {
            let shown = Command::new("ps")
                .args(["-o", "command=", "-p", &pid.to_string()])
                .output();
            let line_end = format!(" {CONFIG_OPTION} {config}");
            shown.is_ok_and(|shown| {
                String::from_utf8_lossy(&shown.stdout)
                    .trim_end()
                    .ends_with(&line_end)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::write_program;
    use super::*;
    use std::io::Read;
    use std::process::{Child, Stdio};

    /// A process that waits, with the command line of a server.
    fn waiting(dir: &Path, arguments: &[&str]) -> Child {
        let program = dir.join("nats-server");
        write_program(&program, "echo ready; read line");
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // A process may have no command line yet when `spawn` returns.
        let mut ready = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        child
    }

    #[test]
    fn only_a_server_on_this_configuration_is_stopped() {
        let temp = tempfile::tempdir().unwrap();
        let ours = Layout::create(&temp.path().join("a")).unwrap();
        let other = Layout::create(&temp.path().join("b")).unwrap();
        let config = |layout: &Layout| layout.nats_config().to_str().unwrap().to_owned();
        let mut leftover = waiting(ours.root(), &[CONFIG_OPTION, &config(&ours)]);
        let mut neighbour = waiting(other.root(), &[CONFIG_OPTION, &config(&other)]);
        let mut editor = waiting(other.root(), &[&config(&ours)]);
        let mut foreign = waiting(other.root(), &["-c", &config(&ours)]);
        let refused = stop(&ours).unwrap_err();
        assert!(
            matches!(refused, LeftoverError::Foreign { pid, .. } if pid == i32::try_from(foreign.id()).unwrap())
        );
        assert!(leftover.try_wait().unwrap().is_none(), "nothing is stopped");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
        // A process id that was noted long ago and belongs to somebody else by now.
        fs::write(ours.nats_pid(), neighbour.id().to_string()).unwrap();

        // Waiting would close its input, and it would end by itself.
        let input = leftover.stdin.take();
        let reaper = thread::spawn(move || leftover.wait().unwrap());
        let stopped = stop(&ours).unwrap();
        assert_eq!(stopped.len(), 1);
        assert!(!reaper.join().unwrap().success());
        drop(input);
        assert!(stop(&ours).unwrap().is_empty());
        for alive in [&mut neighbour, &mut editor] {
            assert!(alive.try_wait().unwrap().is_none());
            alive.kill().unwrap();
            alive.wait().unwrap();
        }
    }
}
