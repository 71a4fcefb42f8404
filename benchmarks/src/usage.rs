//! What a process has used, as Linux counts it under `/proc`.

use std::{fs, io, time::Duration};

/// The CPU time of all threads of the process `pid` since it was forked, those of the kernel on its behalf included.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // "time on a CPU in ns, time in a queue in ns, time slices"
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += number(&schedstat)?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The most memory that the process `pid` has held at once, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn peak_memory(pid: u32) -> io::Result<u64> {
    memory(pid, "VmHWM:")
}

/// The memory that the process `pid` holds now, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_memory(pid: u32) -> io::Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    number(
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default(),
    )
}

fn number(text: &str) -> io::Result<u64> {
    let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no number: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_cpu_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut bytes = vec![1_u8; 32 << 20];
        while cpu_time(pid).unwrap() < before + Duration::from_millis(5) {
            bytes.rotate_left(1);
        }
        assert!(peak_memory(pid).unwrap() >= 32 << 10);
        assert!(resident_memory(pid).unwrap() <= peak_memory(pid).unwrap());
    }
}
