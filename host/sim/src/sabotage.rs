//! Faults planted on purpose, to know that the checkers see them. None touches the cores: each alters what passes between a core
//! and its shell, so that the pair behaves as if the core lacked a rule.

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A write is said to be durable as soon as it is asked for.
    AnswersBeforeDurable,
    /// The end of a job is told and never written.
    SkipsTombstone,
    /// The JobManager does not count its lives.
    ForgetsEpoch,
    /// Reports of an earlier life of a TaskManager are taken for those of the present one.
    ForgetsIncarnation,
    /// Reports of any attempt are taken for those of the current one.
    ForgetsAttempt,
    /// A TaskManager's clock stands still while it is stopped or cannot reach the JobManager: its lease never ends.
    IgnoresLease,
    /// The lease counts from when an answer arrives, not from when the question was sent.
    LeaseFromAnswer,
    /// Commits as soon as one subtask has prepared.
    CommitsEarly,
    /// Says that a subtask has stopped when it was told to, not when it has.
    StopsInWordsOnly,
    /// A repeated submission is a new job after a restart of the JobManager.
    ForgetsKeys,
    /// Reports are acknowledged whether or not they are taken.
    AcknowledgesUnread,
    /// Only jobs that have not ended are handed to the next life of the JobManager.
    ForgetsEndedJobs,
    /// A wish to end is answered before it is durable.
    EndsInMemory,
    /// A manifest is said to be stored as soon as it is asked for: sinks commit what may never be.
    AnswersBeforeStored,
    /// A manifest whose write goes on is said not to be there, so that another attempt is made meanwhile.
    DeploysWhileUnanswered,
    /// Who is told to stop is not told of the checkpoint that is complete.
    StopsWithoutCompleted,
    /// Parts of an earlier attempt are taken for those of the present one, and of its checkpoint.
    TakesStaleParts,
    /// Subtasks say that they run before they have made visible what they were restored from, and never do.
    RunsBeforeRestored,
    /// The part of a subtask at its end takes the place of its part before.
    EndReplacesPart,
    /// A new life of the JobManager does not know the newest checkpoint, and begins from the one before.
    ForgetsCheckpoint,
    /// Of no checkpoint it is said that sinks have prepared something: a job falls back although rows are visible.
    ClaimsNothingVisible,
    /// A sink takes its part of a checkpoint when the first barrier comes, and does not wait for the others.
    TakesAtFirstBarrier,
    /// A sink goes on with the watermark of each channel, and not with the lowest.
    OvertakesChannels,
    /// A sink waits for sources that are idle.
    IdleHoldsBack,
    /// A sink forgets its watermark as it takes its part of a checkpoint.
    SinkForgetsTime,
    /// A source forgets its watermark as it lets a barrier go.
    SourceForgetsTime,
    /// A source makes its watermarks as if its rows came in order.
    ForgetsDelay,
    /// Timers fire that are due a little after the watermark.
    FiresEarly,
    /// A sink goes on without the timers that it had.
    ForgetsTimers,
    /// What a sink keeps of its timers has those that have fired lately.
    KeepsFiredTimers,
    /// A source that is to keep in step reads on whatever it is told.
    IgnoresLimits,
    /// A sink goes on without what it does not find, although nobody has given it up.
    GoesOnWithout,
    /// Attempts are told that all was visible once that they do not find.
    ClaimsAllVisible,
    /// What somebody gives up of one checkpoint holds for all later ones.
    GivesUpForEver,
    /// A sink does not say that what it does not find is lost, but that it has failed.
    HidesLosses,
    /// What is lost counts as a mistake of the job.
    BlamesUserForLosses,
    /// A source ends when it has read what it has, and does not wait to hear that nothing is left.
    EndsUnasked,
    /// A source takes what other subtasks beside it were given for its own.
    TakesWhatOthersGot,
}

impl Sabotage {
    pub const ALL: [Self; 38] = [
        Self::AnswersBeforeDurable,
        Self::SkipsTombstone,
        Self::ForgetsEpoch,
        Self::ForgetsIncarnation,
        Self::ForgetsAttempt,
        Self::IgnoresLease,
        Self::LeaseFromAnswer,
        Self::CommitsEarly,
        Self::StopsInWordsOnly,
        Self::ForgetsKeys,
        Self::AcknowledgesUnread,
        Self::ForgetsEndedJobs,
        Self::EndsInMemory,
        Self::AnswersBeforeStored,
        Self::DeploysWhileUnanswered,
        Self::StopsWithoutCompleted,
        Self::TakesStaleParts,
        Self::RunsBeforeRestored,
        Self::EndReplacesPart,
        Self::ForgetsCheckpoint,
        Self::ClaimsNothingVisible,
        Self::TakesAtFirstBarrier,
        Self::OvertakesChannels,
        Self::IdleHoldsBack,
        Self::SinkForgetsTime,
        Self::SourceForgetsTime,
        Self::ForgetsDelay,
        Self::FiresEarly,
        Self::ForgetsTimers,
        Self::KeepsFiredTimers,
        Self::IgnoresLimits,
        Self::GoesOnWithout,
        Self::ClaimsAllVisible,
        Self::GivesUpForEver,
        Self::HidesLosses,
        Self::BlamesUserForLosses,
        Self::EndsUnasked,
        Self::TakesWhatOthersGot,
    ];
}
