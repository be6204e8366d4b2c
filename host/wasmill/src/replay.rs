//! `wasmill replay`: a call that failed in a job, made again from its capsule.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use wasmill_model::fault::Code;
use wasmill_plugin::{
    CallError, Capsule, Digest,
    capsule::{self, Failure},
};

use crate::{Output, error::Error, plugins, refused, show, tell};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The capsule, as `wasmill run --capsule` saved it.
    capsule: PathBuf,
    /// The component's file, if the capsule is without it.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Folder of compiled plugins [default: $WASMILL_CACHE, or `wasmill` in the user's cache folder].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Makes the call again: 0 if it fails in the same way, 1 if not, 2 if there was no call.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match replay(arguments) {
        Ok((capsule, outcome)) => tell_outcome(&capsule, outcome),
        Err(error) => refused(&error, Output::Table),
    }
}

fn replay(arguments: &Arguments) -> Result<(Capsule, Result<(), CallError>), Error> {
    let file = arguments.capsule.display();
    let mismatch = |why: String| Error::new(Code::CapsulePlugin, format!("could not replay {file}: {why}"));
    let mut capsule = capsule::read(&arguments.capsule)?;
    let wasm = match (&arguments.plugin, capsule.component.take()) {
        (Some(file), _) => plugins::read(file)?,
        (None, Some(wasm)) => wasm,
        (None, None) => {
            let message = format!("the capsule is without its plugin {}", capsule.digest);
            return Err(mismatch(format!("{message}\n  hint: name the plugin's file by --plugin")));
        }
    };
    let (recorded, given) = (capsule.digest, Digest::of(&wasm));
    if recorded != given {
        return Err(mismatch(format!("the capsule is of plugin {recorded}, not of {given}")));
    }
    let store = plugins::store(arguments.cache.as_deref())?;
    let plugin = store.load(&wasm)?;
    let (config, inputs) = (&capsule.context.config, &capsule.context.inputs);
    let descriptor = store.describe(&wasm, &capsule.limits, config, inputs)?;
    if descriptor != capsule.descriptor {
        let message = "the operator does not describe itself as it did when the call was saved";
        return Err(mismatch(message.to_owned()));
    }
    let log = Arc::new(|line: wasmill_plugin::LogLine| {
        tell(&format!("{:5} {}\n", format!("{:?}", line.level).to_uppercase(), line.message));
    });
    let outcome = capsule::replay(&capsule, &plugin, descriptor, log)?;
    Ok((capsule, outcome))
}

fn tell_outcome(capsule: &Capsule, outcome: Result<(), CallError>) -> ExitCode {
    let context = &capsule.context;
    let mut text = format!(
        "{} of operator {}[{}] of job {}\n  then: {}\n",
        capsule.call.function(),
        context.operator,
        context.subtask,
        context.job,
        capsule.failure
    );
    let same = match outcome {
        Ok(()) => {
            text += "  now:  no failure\n";
            false
        }
        Err(error) => {
            let failure = Failure::of(&error);
            text += &format!("  now:  {failure}\n");
            for frame in error.report().map_or(&[][..], |report| &report.backtrace) {
                text += &format!("    at {frame}\n");
            }
            failure.is_same(&capsule.failure)
        }
    };
    text += if same { "the same failure\n" } else { "not the same\n" };
    match show(&text) {
        written if written == ExitCode::SUCCESS && !same => ExitCode::FAILURE,
        written => written,
    }
}
