//! What processes use, read from /proc: nothing is loaded into them.

use std::fs;

/// CPU time and memory of a process and its children.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in microseconds, of the kernel's work for them too.
    pub cpu_micros: u64,
    /// Memory in KiB, pages that several share counted once among them.
    pub memory_kib: u64,
}

/// Microseconds of a clock tick: USER_HZ is 100 on every Linux.
const TICK_MICROS: u64 = 10_000;

/// What a process, its children and theirs use now; children that have ended count for their CPU time.
pub fn usage(root: u32) -> Usage {
    let family = family(root);
    Usage { cpu_micros: cpu_of(&family), memory_kib: family.iter().map(|process| memory(process.id)).sum() }
}

/// CPU time alone, in microseconds. Memory takes the kernel many milliseconds to tell, which a load must not wait for.
pub fn cpu_micros(root: u32) -> u64 {
    cpu_of(&family(root))
}

fn cpu_of(family: &[Process]) -> u64 {
    family.iter().map(|process| process.ticks * TICK_MICROS).sum()
}

/// A process, its children and theirs.
fn family(root: u32) -> Vec<Process> {
    let all = processes();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.id));
        next += 1;
    }
    all.into_iter().filter(|process| family.contains(&process.id)).collect()
}

struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
        .collect()
}

/// The name, in parentheses, may hold anything: fields are counted behind its end.
fn parse_stat(id: u32, stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Process { id, parent, ticks })
}

/// The proportional share where the kernel tells it, else what is resident.
fn memory(id: u32) -> u64 {
    let value = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
    };
    let shared = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok();
    let resident = || fs::read_to_string(format!("/proc/{id}/status")).ok();
    shared.and_then(|text| value(&text, "Pss:")).or_else(|| value(&resident()?, "VmRSS:")).unwrap_or_default()
}

/// The machine in a line: processors, memory, kernel.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processors} × {model}, {memory}, Linux {}", kernel.trim())
}

/// How busy the machine was over the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_no_trap() {
        let stat = "77 (a) b) S 5 6 7 8 9 10 11 12 13 14 100 20 3 4 20 0 1 0";
        let process = parse_stat(77, stat).unwrap();
        assert_eq!((process.id, process.parent, process.ticks), (77, 5, 127));
    }

    #[test]
    fn this_process_uses_something() {
        let before = usage(std::process::id());
        assert!(before.memory_kib > 0);
    }
}
