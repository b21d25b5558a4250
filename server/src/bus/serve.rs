//! Answers the calls that come over the bus, with the same code as those that come over HTTP.

use std::sync::Arc;
use std::time::Duration;

use cairn_types::{Fault, Result, code};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use super::request::{self, JOB_SUBJECT, Wanted};
use super::{Bus, Message, ends};
use crate::app::App;
use crate::dispatch::{Answer, dispatch};

/// Where calls are sent.
pub const CALL_SUBJECT: &str = "cairn.api.call";
/// All servers of an installation; each call goes to one of them.
const GROUP: &str = "cairn-servers";
/// Largest request, as over HTTP. What the bus takes is less, if it is not set up otherwise.
const MOST_BYTES: usize = 4 << 20;
/// Calls at work at the same time.
const MOST: usize = 1024;
/// Waits for the end of a job at the same time, beside the calls: they cost next to nothing. One more is told at once how the job
/// stands.
const MOST_WAITS: usize = 16_384;
/// How long the end of a job is waited for, to tell it on the bus.
const LONGEST_JOB: Duration = Duration::from_secs(24 * 3600);

/// Connects the server to its bus, if it is configured to have one, and answers what comes.
pub async fn start(app: &Arc<App>) -> Result<()> {
    let Some(address) = &app.config.nats else { return Ok(()) };
    let bus = super::connect(address, &format!("cairn-server {}", app.node)).await?;
    // Each leader is a group of its own: what reaches one that is cut off reaches the next one too.
    let group =
        app.lease.as_ref().map_or_else(|| GROUP.to_owned(), |lease| format!("{GROUP}-{}", lease.epoch));
    let calls = bus.subscribe(CALL_SUBJECT, Some(&group)).await?;
    let serving = tokio::spawn(serve(Arc::downgrade(app), bus.clone(), calls));
    app.bus.set(bus, serving);
    Ok(())
}

async fn serve(app: std::sync::Weak<App>, bus: Arc<dyn Bus>, mut calls: BoxStream<'static, Message>) {
    let room = Arc::new(Semaphore::new(MOST));
    let waits = Arc::new(Semaphore::new(MOST_WAITS));
    while let Some(message) = calls.next().await {
        let Some(app) = app.upgrade() else { return };
        // Nobody would hear the answer: a call is not made by accident.
        let Some(reply) = message.reply.clone() else { continue };
        if app.lease.as_ref().is_some_and(|lease| !lease.holds()) {
            continue;
        }
        let (bus, waits) = (bus.clone(), waits.clone());
        match room.clone().try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(async move {
                    let answer = match begin(&app, &bus, &message.body).await {
                        Begun::Answered(answer) => answer,
                        Begun::Waits(wait) => {
                            drop(permit);
                            wait.end(&app, &waits).await
                        }
                    };
                    if app.lease.as_ref().is_some_and(|lease| !lease.holds()) {
                        // Another server leads, and answers.
                        return;
                    }
                    send(&bus, &reply, &answer).await;
                });
            }
            Err(_) => {
                let text =
                    format!("this server is at work on {MOST} calls of the bus; try again in a moment");
                let full = Fault::new(code::NOT_READY, text).retry();
                tokio::spawn(async move { send(&bus, &reply, &full.into()).await });
            }
        }
    }
}

/// How far a message is answered.
enum Begun {
    Answered(Answer),
    Waits(Wait),
}

/// A job whose end somebody waits for.
struct Wait {
    job: String,
    schema: bool,
    time: Option<String>,
    most: Duration,
    /// It was this message that began the job.
    is_own: bool,
}

impl Wait {
    async fn end(self, app: &Arc<App>, waits: &Arc<Semaphore>) -> Answer {
        let room = waits.try_acquire();
        let most = if room.is_ok() { self.most } else { Duration::ZERO };
        match ends::wait(app, &self.job, (self.schema, self.time.as_deref()), most).await {
            Answer::Json(202, _) if self.is_own => Answer::Accepted(self.job),
            answer => answer,
        }
    }
}

async fn begin(app: &Arc<App>, bus: &Arc<dyn Bus>, message: &[u8]) -> Begun {
    if message.len() > MOST_BYTES {
        return Begun::Answered(Answer::Text(413, format!("the request has more than {MOST_BYTES} bytes")));
    }
    let (request, most) = match request::read(message) {
        Ok(Wanted::Call(request, wait)) => (request, wait),
        Ok(Wanted::Job { job, schema, time, wait }) => {
            return Begun::Waits(Wait { job, schema, time, most: wait, is_own: false });
        }
        Err(answer) => return Begun::Answered(answer),
    };
    let (schema, time) = (request.schema, request.time.clone());
    let answer = dispatch(app, *request).await;
    let Answer::Accepted(job) = answer else { return Begun::Answered(answer) };
    tokio::spawn(tell_end(app.clone(), bus.clone(), job.clone(), (schema, time.clone())));
    if most.is_zero() {
        return Begun::Answered(Answer::Accepted(job));
    }
    Begun::Waits(Wait { job, schema, time, most, is_own: true })
}

/// Publishes how a job ended. If this server ends before it, nobody does, and the job has to be asked for.
async fn tell_end(app: Arc<App>, bus: Arc<dyn Bus>, job: String, (schema, time): (bool, Option<String>)) {
    let ended = ends::wait(&app, &job, (schema, time.as_deref()), LONGEST_JOB).await;
    send(&bus, &format!("{JOB_SUBJECT}.{job}"), &ended).await;
}

async fn send(bus: &Arc<dyn Bus>, subject: &str, answer: &Answer) {
    let mut message = request::write(answer);
    let most = bus.most_bytes();
    if message.len() > most {
        let text = format!(
            "the answer has {} bytes and the message bus takes {most}; ask for less with limit and start, or over HTTP",
            message.len()
        );
        message = request::write(&Answer::Text(413, text));
    }
    if let Err(f) = bus.publish(subject, message).await {
        tracing::warn!(error = %f, "an answer could not be sent over the message bus");
    }
}
