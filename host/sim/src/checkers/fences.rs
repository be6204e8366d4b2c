//! A TaskManager that the JobManager has not answered for a lease runs nothing.

use crate::checkers::Fact;

#[derive(Debug, Default)]
pub(crate) struct Fences;

impl Fences {
    pub(crate) fn see(&self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Called { taskmanager, silent_ms, lease_ms, busy } if silent_ms >= lease_ms && *busy > 0 => {
                Err(format!("{taskmanager} was not answered for {silent_ms} ms and runs {busy} attempts"))
            }
            _ => Ok(()),
        }
    }
}
