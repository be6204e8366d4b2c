//! Who may do what.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    cluster::{start_jobmanager, wasmill},
    process::Running,
};

#[test]
fn an_address_that_others_reach_needs_tokens_and_tls() {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let mut command = wasmill(&["jobmanager", "--listen", "0.0.0.0:0", "--data-dir"]);
    command.arg(folder.path());
    let ended = Running::start(command).end();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("error[unsafe-listen]"), "{}", ended.stderr);
}

/// A TaskManager whose JobManager is elsewhere listens where it is reached, and that needs TLS too.
#[test]
fn a_taskmanager_that_others_reach_needs_tls() {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let start = |arguments: &[&str]| {
        let mut command = wasmill(&["taskmanager", "--data-dir"]);
        command.arg(folder.path()).args(arguments);
        Running::start(command)
    };
    for refused in [&["--listen", "0.0.0.0"][..], &["--listen", "0.0.0.0:0"], &["--listen", "[::]:0"]] {
        let ended = start(refused).end();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("error[unsafe-listen]"), "{}", ended.stderr);
    }
    let unknown = start(&["--jobmanager", "http://no-such-host.invalid:7420"]).end();
    assert!(unknown.stderr.contains("error[listen-failed]"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("--listen ADDRESS"), "{}", unknown.stderr);
    for (arguments, said) in [
        (&["--listen", "0.0.0.0", "--insecure"][..], "other TaskManagers reach it on 127.0.0.1:"),
        (&["--jobmanager", "http://192.0.2.1:7420", "--listen", "127.0.0.1"], "warning: TaskManagers on other hosts"),
    ] {
        let mut running = start(arguments);
        running.wait_for_stderr(said);
        running.kill();
        running.end();
    }
}

/// What a job may read and write, whoever deploys it.
#[test]
fn jobs_keep_to_the_folders_that_are_theirs() {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("data")).expect("the folder takes folders");
    fs::write(at("data/in.txt"), "a b\n").expect("the folder takes files");
    fs::write(at("secret.txt"), "s\n").expect("the folder takes files");
    std::os::unix::fs::symlink(at("secret.txt"), at("data/link.txt")).expect("the folder takes links");
    let data = at("data").display().to_string();
    let (jobmanager, url) = start_jobmanager(&at("jobmanager"), "127.0.0.1:0", &["--folder", &data]);
    let plan = |source: &str, sink: &str| {
        let job = format!(
            "[job]\nname = \"j\"\n[source.text]\nconnector = \"file\"\nformat = \"lines\"\npath = \"{source}\"\n\
             [sink.out]\ninput = \"text\"\nconnector = \"file\"\nformat = \"json\"\npath = \"{sink}\"\n"
        );
        fs::write(at("job.toml"), job).expect("the folder takes files");
        let mut command = wasmill(&["plan", "--server", &url]);
        command.arg(at("job.toml"));
        Running::start(command).end()
    };
    for (source, sink) in [("data/in.txt", "data/out.json"), ("data/i*.txt", "data/new/out.json")] {
        let ended = plan(source, sink);
        assert_eq!(ended.code, Some(0), "{source} {sink}: {}", ended.stderr);
    }
    for (source, sink, named) in [
        ("secret.txt", "data/out.json", "secret.txt"),
        ("data/link.txt", "data/out.json", "link.txt"),
        ("data/*.txt", "data/out.json", "link.txt"),
        ("data/in.txt", "out.json", "out.json"),
        ("data/in.txt", "data/../out.json", "out.json"),
        ("/etc/passwd", "data/out.json", "/etc/passwd"),
    ] {
        let ended = plan(source, sink);
        assert_eq!(ended.code, Some(2), "{source} {sink}");
        assert!(ended.stderr.contains("error[path-not-allowed]"), "{source} {sink}: {}", ended.stderr);
        assert!(ended.stderr.contains(named), "{source} {sink}: {}", ended.stderr);
    }
    jobmanager.kill();
    jobmanager.end();
}

#[test]
fn a_token_decides_what_one_may_do() {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder takes files");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path.display().to_string()
    };
    let secret = "s3cr3t-of-a-viewer-0123456789";
    let tokens =
        put("tokens", &format!("viewer {secret}\nadmin an-admin-token-0123456789\nworker w0rker-token-0123456789\n"));
    let (viewer, worker) = (put("viewer", secret), put("worker", "w0rker-token-0123456789"));
    let (jobmanager, url) = start_jobmanager(&folder.path().join("data"), "127.0.0.1:0", &["--tokens", &tokens]);
    let mut command = wasmill(&["taskmanager", "--jobmanager", &url, "--token-file", &worker, "--data-dir"]);
    command.arg(folder.path().join("taskmanager"));
    let taskmanager = Running::start(command);
    let client = |arguments: &[&str], token: Option<&str>| {
        let mut command = wasmill(arguments);
        command.args(["--server", &url]);
        command.args(token.iter().flat_map(|file| ["--token-file", file]));
        Running::start(command).end()
    };
    let nobody = client(&["list"], None);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.stderr.contains("error[unauthenticated]"), "{}", nobody.stderr);
    let seen = client(&["list"], Some(&viewer));
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let refused = client(&["cancel", "job-1"], Some(&viewer));
    assert!(refused.stderr.contains("error[forbidden]"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
    for running in [taskmanager, jobmanager] {
        running.kill();
        let ended = running.end();
        assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret));
    }
}

/// Everything over TLS: the client to the JobManager, the TaskManagers to it and to each other.
#[test]
fn a_cluster_with_certificates_of_its_own_runs_jobs_and_takes_nobody_else() {
    let folder = tempfile::TempDir::new().expect("temporary folders can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ended = Running::start(wasmill(&["cluster", "certs", "--out", &path("certs")])).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let [ca, cert, key] = ["certs/ca.pem", "certs/jobmanager.pem", "certs/jobmanager.key"].map(path);
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let (jobmanager, url) = start_jobmanager(&folder.path().join("data"), "127.0.0.1:0", &tls);
    assert!(url.starts_with("https://"), "{url}");
    let (cert, key) = (path("certs/taskmanager.pem"), path("certs/taskmanager.key"));
    let taskmanager = |name: &str, tls: bool| {
        let mut command = wasmill(&["taskmanager", "--jobmanager", &url, "--slots", "1", "--data-dir", &path(name)]);
        command.args(if tls { vec!["--ca", &ca, "--cert", &cert, "--key", &key] } else { Vec::new() });
        Running::start(command)
    };
    let stranger = taskmanager("stranger", false).end();
    assert_eq!(stranger.code, Some(2), "{}", stranger.stderr);
    assert!(stranger.stderr.contains("error[tls-file]"), "{}", stranger.stderr);
    let running = [taskmanager("one", true), taskmanager("two", true)];
    let client = |arguments: &[&str]| {
        let mut command = wasmill(arguments);
        command.args(["--server", &url, "--ca", &ca, "-o", "json"]);
        Running::start(command).end()
    };
    let job = crate::cluster::jobs::ENDLESS.replace("rate = 2000", "events = 20000");
    let plugins = format!("{}/", crate::process::target().join("plugins").display());
    fs::write(path("job.toml"), job.replace("PLUGINS/", &plugins)).expect("the folder takes files");
    let ended = client(&["deploy", &path("job.toml")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !client(&["status", "job-1"]).stdout.contains("FINISHED") {
        assert!(std::time::Instant::now() < deadline, "{}", client(&["status", "job-1"]).stdout);
    }
    assert!(client(&["events", "job-1"]).stdout.contains(", taskmanager-"), "it ran on both");
    for running in running.iter().chain([&jobmanager]) {
        running.kill();
    }
}
