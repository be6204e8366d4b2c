//! Each planted fault is found within a stated number of seeds: were it not, a green run would mean nothing.

use wasmill_sim::{Sabotage, search};

/// The rule that is broken first must be one of those that the fault is about.
#[track_caller]
fn found_within(seeds: u64, sabotage: Sabotage, rules: &[&str]) {
    let found = search(0..seeds, Some(sabotage)).expect_err("the planted fault was not found");
    let broken = found.broken.expect("a search ends with a broken rule");
    assert!(rules.iter().any(|rule| broken.contains(rule)), "seed {} breaks another rule: {broken}", found.seed);
}

#[test]
fn answers_before_durable() {
    let rules = [
        "is not known after a restart",
        "has not after a restart",
        "is not after a restart",
        "its shape is not durable",
    ];
    found_within(500, Sabotage::AnswersBeforeDurable, &rules);
}

#[test]
fn skips_tombstone() {
    found_within(50, Sabotage::SkipsTombstone, &["has not after a restart"]);
}

#[test]
fn forgets_epoch() {
    found_within(50, Sabotage::ForgetsEpoch, &["comes after attempt-"]);
}

#[test]
fn forgets_incarnation() {
    found_within(12_000, Sabotage::ForgetsIncarnation, &["has not ended"]);
}

#[test]
fn forgets_attempt() {
    let rules = ["subtasks have prepared", "no complete checkpoint covers it", "has not ended"];
    found_within(5_000, Sabotage::ForgetsAttempt, &rules);
}

#[test]
fn ignores_lease() {
    found_within(50, Sabotage::IgnoresLease, &["was not answered for"]);
}

#[test]
fn lease_from_answer() {
    found_within(50, Sabotage::LeaseFromAnswer, &["was not answered for"]);
}

#[test]
fn commits_early() {
    found_within(100, Sabotage::CommitsEarly, &["subtasks have prepared", "no complete checkpoint covers it"]);
}

#[test]
fn stops_in_words_only() {
    let rules = ["slots and runs what takes", "was not answered for", "rows are visible of"];
    found_within(50, Sabotage::StopsInWordsOnly, &rules);
}

#[test]
fn forgets_keys() {
    found_within(50, Sabotage::ForgetsKeys, &["is taken", "stands for"]);
}

#[test]
fn acknowledges_unread() {
    found_within(500, Sabotage::AcknowledgesUnread, &["has not ended"]);
}

#[test]
fn forgets_ended_jobs() {
    found_within(50, Sabotage::ForgetsEndedJobs, &["is taken"]);
}

#[test]
fn ends_in_memory() {
    found_within(1_000, Sabotage::EndsInMemory, &["was to end and is not"]);
}

#[test]
fn answers_before_stored() {
    let rules = ["no complete checkpoint covers it", "is visible twice", "rows are visible of", "is stored after"];
    found_within(500, Sabotage::AnswersBeforeStored, &rules);
}

#[test]
fn deploys_while_unanswered() {
    found_within(
        5_000,
        Sabotage::DeploysWhileUnanswered,
        &["its file is gone", "rows are visible of", "is visible twice", "is stored after", "nobody has agreed"],
    );
}

#[test]
fn stops_without_completed() {
    found_within(200, Sabotage::StopsWithoutCompleted, &["rows are visible of", "of them are visible"]);
}

#[test]
fn takes_stale_parts() {
    let rules =
        ["is visible twice", "rows are visible of", "counted each row once", "no complete checkpoint covers it"];
    found_within(8_000, Sabotage::TakesStaleParts, &rules);
}

#[test]
fn runs_before_restored() {
    found_within(500, Sabotage::RunsBeforeRestored, &["rows are visible of", "of them are visible"]);
}

#[test]
fn end_replaces_part() {
    found_within(
        2_000,
        Sabotage::EndReplacesPart,
        &["is visible twice", "rows are visible of", "counted each row once", "which has not fired"],
    );
}

#[test]
fn forgets_checkpoint() {
    found_within(200, Sabotage::ForgetsCheckpoint, &["is visible twice", "to which nobody has agreed"]);
}

#[test]
fn claims_nothing_visible() {
    found_within(500, Sabotage::ClaimsNothingVisible, &["to which nobody has agreed", "is visible twice"]);
}

#[test]
fn takes_at_first_barrier() {
    let rules = ["is visible twice", "rows are visible of", "counted each row once", "comes behind the watermark"];
    found_within(200, Sabotage::TakesAtFirstBarrier, &rules);
}

#[test]
fn overtakes_channels() {
    found_within(50, Sabotage::OvertakesChannels, &["overtakes its channels"]);
}

#[test]
fn idle_holds_back() {
    found_within(200, Sabotage::IdleHoldsBack, &["is behind its channels"]);
}

#[test]
fn sink_forgets_time() {
    found_within(50, Sabotage::SinkForgetsTime, &["its watermark goes back"]);
}

#[test]
fn source_forgets_time() {
    found_within(50, Sabotage::SourceForgetsTime, &["goes back from"]);
}

#[test]
fn forgets_delay() {
    found_within(50, Sabotage::ForgetsDelay, &["comes behind the watermark"]);
}

#[test]
fn fires_early() {
    found_within(50, Sabotage::FiresEarly, &["is due at"]);
}

#[test]
fn forgets_timers() {
    found_within(50, Sabotage::ForgetsTimers, &["timers have fired of", "which has not fired"]);
}

#[test]
fn keeps_fired_timers() {
    found_within(50, Sabotage::KeepsFiredTimers, &["fires twice", "timers have fired of"]);
}

#[test]
fn ignores_limits() {
    found_within(50, Sabotage::IgnoresLimits, &["reads on more than"]);
}

#[test]
fn goes_on_without() {
    found_within(200, Sabotage::GoesOnWithout, &["which nobody has given up"]);
}

#[test]
fn claims_all_visible() {
    found_within(200, Sabotage::ClaimsAllVisible, &["which was never visible"]);
}

#[test]
fn gives_up_for_ever() {
    found_within(1_000, Sabotage::GivesUpForEver, &["which nobody has given up"]);
}

#[test]
fn hides_losses() {
    found_within(200, Sabotage::HidesLosses, &["has not ended"]);
}

#[test]
fn blames_user_for_losses() {
    found_within(200, Sabotage::BlamesUserForLosses, &["has failed since results are lost"]);
}

#[test]
fn ends_unasked() {
    found_within(200, Sabotage::EndsUnasked, &["has not read all its input"]);
}

#[test]
fn takes_what_others_got() {
    found_within(200, Sabotage::TakesWhatOthersGot, &["is visible twice", "rows are visible of"]);
}
