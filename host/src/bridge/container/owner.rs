//! Which process a container belongs to, so that the containers of a process that was killed can be told from those of one that lives.
//!
//! The label says machine, boot, PID namespace, PID and start time. What was started on another machine, or is seen from another PID namespace, is left
//! alone: nothing can be known of it here.

use std::fs;

/// The label's name.
pub(super) const LABEL: &str = "io.toolbay.owner";

/// The label of this process.
pub(super) fn own() -> String {
    let pid = std::process::id();
    format!("{}/{pid}/{}", here(), started(pid).unwrap_or_default())
}

/// Whether the process of a label was here and is gone.
pub(super) fn is_orphan(label: &str) -> bool {
    let mut parts = label.rsplitn(3, '/');
    let (Some(start), Some(pid), Some(place)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    // A machine that was started again has none of its processes left.
    same_place(place) && (boot(place) != boot(&here()) || started(pid).is_none_or(|now| now != start))
}

/// `MACHINE|NAMESPACE|BOOT`.
fn here() -> String {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}|{namespace}|{}", read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/random/boot_id"))
}

fn boot(place: &str) -> &str {
    place.rsplit('|').next().unwrap_or_default()
}

fn same_place(place: &str) -> bool {
    let of = |place: &str| place.rsplit_once('|').map(|(rest, _)| rest.to_owned());
    of(place).is_some() && of(place) == of(&here())
}

/// When a process started, in clock ticks since the boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5)). A PID alone may be somebody else's by now.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie holds its PID and does nothing any more.
    if fields.next()? == "Z" {
        return None;
    }
    // The state was field 3.
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_owns_its_containers_and_a_dead_one_does_not() {
        assert!(!is_orphan(&own()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let label = format!("{}/{}/{}", here(), child.id(), started(child.id()).unwrap());
        assert!(!is_orphan(&label));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_orphan(&label));
    }

    #[test]
    fn another_process_of_the_same_pid_is_not_the_owner() {
        assert!(is_orphan(&format!("{}/{}/1", here(), std::process::id())));
    }

    #[test]
    fn after_a_restart_of_the_machine_nothing_lives() {
        let place = here();
        let (rest, _) = place.rsplit_once('|').unwrap();
        let start = started(std::process::id()).unwrap();
        assert!(is_orphan(&format!("{rest}|another-boot/{}/{start}", std::process::id())));
    }

    #[test]
    fn what_is_not_of_this_machine_is_left_alone() {
        for label in ["", "x", "other|pid:[1]|b/1/2", "a/b/c", "//"] {
            assert!(!is_orphan(label), "{label}");
        }
    }
}
