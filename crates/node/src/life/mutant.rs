//! `MILENA_MUTANT`: the name of one rule of replication that this process switches off, so that a test can be seen to fail.
//!
//! Only with the feature `mutants`, which no release build has: without it the variable means nothing.

/// Switches off what `MILENA_MUTANT` names, once, before any role starts.
///
/// # Errors
/// The value, when no rule has that name.
#[cfg(feature = "mutants")]
pub(super) fn from_environment() -> Result<(), String> {
    match std::env::var_os("MILENA_MUTANT") {
        Some(name) => switch_off(&name.to_string_lossy()),
        None => Ok(()),
    }
}

/// Nothing can be switched off in this build.
///
/// # Errors
/// Never.
#[cfg(not(feature = "mutants"))]
pub(super) fn from_environment() -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "mutants")]
fn switch_off(name: &str) -> Result<(), String> {
    let mutant = milena_types::mutants::Mutant::of(name).ok_or_else(|| name.to_owned())?;
    tracing::error!(
        rule = mutant.name(),
        "A RULE OF REPLICATION IS SWITCHED OFF by MILENA_MUTANT: this node loses records"
    );
    milena_types::mutants::switch_off(Some(mutant));
    Ok(())
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use milena_types::mutants::{Mutant, on, switch_off};

    #[test]
    fn only_a_rule_that_there_is_can_be_switched_off() {
        assert_eq!(super::switch_off("no-such-rule"), Err("no-such-rule".to_owned()));
        assert!(!on(Mutant::AckBeforeFsync));
        assert_eq!(super::switch_off("ack-before-fsync"), Ok(()));
        assert!(on(Mutant::AckBeforeFsync));
        switch_off(None);
    }
}
