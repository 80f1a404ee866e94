//! Telling others: a shell command, a POST request. Both are bounded in time and end with the watcher.

use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use heapsight_capture::{
    CaptureError, Kind, Result,
    load::command::{During, Pass},
};
use serde_json::json;

use crate::recorder::Job;

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(600);

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// How often a request is tried.
const TRIES: u32 = 3;

/// How often it is looked at whether all is called off.
const TICK: Duration = Duration::from_millis(50);

/// Runs a shell command. What happened is in its environment.
pub(super) fn run(
    command: &str,
    job: &Job,
    program: &str,
    files: &[PathBuf],
    abort: &AtomicBool,
) -> Result<String> {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let variables = [
        ("HEAPSIGHT_PID", job.id.pid.to_string()),
        ("HEAPSIGHT_PROGRAM", program.to_owned()),
        ("HEAPSIGHT_RULE", job.rule.clone()),
        ("HEAPSIGHT_WHY", job.why.clone()),
        ("HEAPSIGHT_FILE", files.first().cloned().unwrap_or_default()),
        ("HEAPSIGHT_FILES", files.join("\n")),
    ];
    let mut script = String::new();
    for (name, value) in variables {
        script.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    script.push_str(command);
    let mut running = During::start(&script, Pass::Stderr, Pass::Stderr)?;
    match running.wait(Some(Instant::now() + COMMAND), abort) {
        Some(exit) if exit.success() => Ok("done".to_owned()),
        Some(exit) => Err(CaptureError::new(Kind::Other, "the command failed", exit)),
        None => {
            let exit = running.end();
            Err(CaptureError::new(Kind::Timeout, "the command was ended", exit))
        }
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// Sends what happened as JSON.
pub(super) fn post(
    url: &str,
    job: &Job,
    program: &str,
    files: &[PathBuf],
    abort: &AtomicBool,
) -> Result<String> {
    let body =
        json!({"pid": job.id.pid, "program": program, "rule": job.rule, "why": job.why, "files": files});
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("heapsight/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 && !pause(Duration::from_secs(1 << attempt), abort) {
            break;
        }
        // On a thread of its own, which is left to itself when all is called off: nothing wakes a request.
        let (agent, url, body) = (agent.clone(), url.to_owned(), body.to_string());
        let (answer, hear) = channel();
        let send = move || {
            let reply = agent.post(&url).header("content-type", "application/json").send(body);
            let _ = answer.send(reply.map(|reply| reply.status()));
        };
        if let Err(error) = thread::Builder::new().name("webhook".to_owned()).spawn(send) {
            last = error.to_string();
            continue;
        }
        let reply = loop {
            match hear.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) if !abort.load(Ordering::Relaxed) => {}
                other => break other.ok(),
            }
        };
        match reply {
            None => {
                "it was called off".clone_into(&mut last);
                break;
            }
            Some(Ok(status)) if status.is_success() => return Ok(format!("it answered {}", status.as_u16())),
            Some(Ok(status)) => {
                last = format!("it answered {status}");
                // Asking again changes nothing.
                if status.is_client_error() {
                    break;
                }
            }
            Some(Err(error)) => last = error.to_string(),
        }
    }
    Err(CaptureError::new(Kind::Other, format!("cannot tell {url}"), last))
}

/// Waits; says whether it was let wait to the end.
fn pause(time: Duration, abort: &AtomicBool) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if abort.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(TICK);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::recorder::Id;

    fn job() -> Job {
        Job {
            number: 1,
            id: Id { pid: 7, start_time: 1 },
            rule: "rss > 1GiB".into(),
            why: "it's $HOME `id`".into(),
            actions: Vec::new(),
        }
    }

    #[test]
    fn a_request_without_an_answer_ends_with_the_watcher() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let begun = Instant::now();
        let abort = AtomicBool::new(false);
        let error = thread::scope(|scope| {
            let told = scope.spawn(|| post(&url, &job(), "node app.js", &[], &abort));
            thread::sleep(Duration::from_millis(100));
            abort.store(true, Ordering::Relaxed);
            told.join().unwrap().unwrap_err()
        });
        assert!(error.to_string().contains("it was called off"), "{error}");
        assert!(begun.elapsed() < REQUEST / 2);
    }

    #[test]
    fn a_command_has_what_happened_in_its_environment_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let command = format!(
            "printf '%s|%s|%s' \"$HEAPSIGHT_PID\" \"$HEAPSIGHT_WHY\" \"$HEAPSIGHT_FILE\" > {}",
            out.display()
        );
        let files = [Path::new("/a b/c.heapsnapshot").to_owned()];
        run(&command, &job(), "node app.js", &files, &AtomicBool::new(false)).unwrap();
        assert_eq!(fs::read_to_string(out).unwrap(), "7|it's $HOME `id`|/a b/c.heapsnapshot");
        assert!(run("exit 3", &job(), "", &[], &AtomicBool::new(false)).unwrap_err().why.contains('3'));
        assert!(run("sleep 60", &job(), "", &[], &AtomicBool::new(true)).is_err());
    }
}
