//! Lines to produce: real log lines when `MILENA_TEST_DATA` names a folder with `lines/*.log`, else lines made here.

use std::path::Path;

/// Gives `count` distinct lines (each begins with its number).
#[must_use]
pub fn sample_lines(count: usize) -> Vec<String> {
    let real = std::env::var("MILENA_TEST_DATA")
        .ok()
        .map(|dir| real_lines(Path::new(&dir)))
        .unwrap_or_default();
    (0..count)
        .map(|i| match real.get(i % real.len().max(1)) {
            Some(line) => format!("{i} {line}"),
            None => format!(
                "{i} INFO dfs.DataNode$PacketResponder: PacketResponder {} for block blk_{} terminating",
                i % 3,
                i * 7919
            ),
        })
        .collect()
}

fn real_lines(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir.join("lines")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap_or_default();
        lines.extend(
            String::from_utf8_lossy(&bytes)
                .lines()
                .filter(|l| !l.is_empty())
                .map(str::to_owned),
        );
    }
    lines
}
