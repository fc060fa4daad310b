//! Figures of this process, from `/proc/self`.

/// (metric, help, value) of what the system tells; a figure that cannot be read is left out.
pub(super) fn figures() -> Vec<(&'static str, &'static str, f64)> {
    let mut figures = Vec::new();
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        if let Some(kib) = field("VmRSS:") {
            figures.push(("process_resident_memory_bytes", "Memory in use.", kib * 1024.0));
        }
        if let Some(threads) = field("Threads:") {
            figures.push(("process_threads", "Threads.", threads));
        }
    }
    if let Some(seconds) = cpu_seconds() {
        figures.push((
            "process_cpu_seconds_total",
            "Processor time used, user and system.",
            seconds,
        ));
    }
    if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
        figures.push(("process_open_fds", "Open files and sockets.", fds.count() as f64));
    }
    if let Some(max) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        figures.push(("process_max_fds", "How many may be open.", max as f64));
    }
    figures
}

/// utime and stime, fields 14 and 15 of `/proc/self/stat`; the command before them may hold blanks.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    Some((user + system) / ticks as f64)
}
