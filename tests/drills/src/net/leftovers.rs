//! Interfaces and namespaces of runs that are over.

use super::PREFIX;
use crate::command::run;

/// Removes what belongs to processes that are gone.
pub(super) fn remove() {
    for name in names() {
        let Some(owner) = owner(&name) else { continue };
        if !std::path::Path::new(&format!("/proc/{owner}")).exists() {
            remove_of(owner);
        }
    }
}

/// Removes what one run has made; what is not there is no error.
pub(super) fn remove_of(owner: u32) {
    for name in names()
        .into_iter()
        .filter(|name| self::owner(name) == Some(owner))
    {
        // The interface of a namespace goes with it.
        let _ = run("ip", &["netns", "del", &name]).or_else(|_| run("ip", &["link", "del", &name]));
    }
}

/// Namespaces first.
fn names() -> Vec<String> {
    let spaces = run("ip", &["netns", "list"]).unwrap_or_default();
    let links = run("ip", &["-br", "link"]).unwrap_or_default();
    let first = |line: &str| line.split([' ', '@']).next().unwrap_or_default().to_owned();
    spaces.lines().chain(links.lines()).map(first).collect()
}

/// The process id in a name of ours.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_names_of_ours_have_an_owner() {
        assert_eq!(super::owner("mdr4711br"), Some(4711));
        assert_eq!(super::owner("mdr4711n11"), Some(4711));
        assert_eq!(super::owner("eth0"), None);
        assert_eq!(super::owner("mdrx"), None);
    }
}
