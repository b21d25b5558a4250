//! The workflow that most tests run: it uses every kind of step.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

/// How a thing is built, and what goes wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Build {
    pub(super) thing: String,
    pub(super) queue: String,
    /// The `Do` of this step fails after its effects and before its transaction.
    pub(super) fails_at: String,
    pub(super) panics_at: String,
    pub(super) number: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuildStep {
    /// One transaction.
    Claim,
    /// One transaction that leaves data for later steps.
    Number,
    /// Effects only.
    Make,
    /// Effects, then a transaction.
    Wire,
    /// One transaction that ends the run.
    Finish,
}

impl Build {
    pub(super) fn new(thing: &str) -> Self {
        Self { thing: thing.into(), queue: thing.into(), ..Self::default() }
    }

    pub(super) fn failing_at(thing: &str, step: &str) -> Self {
        Self { fails_at: step.into(), ..Self::new(thing) }
    }

    fn fail(&self, step: BuildStep) -> Result<()> {
        let name = format!("{step:?}");
        assert!(self.panics_at != name, "the step panics");
        if self.fails_at == name { Err(Fault::operation(format!("{name} fails"))) } else { Ok(()) }
    }

    async fn run(&mut self, cx: &mut Cx<Toy>, step: BuildStep) -> Result<()> {
        let outside = cx.env().outside.clone();
        match step {
            BuildStep::Claim => {
                self.fail(step)?;
                let run = cx.run();
                cx.tx(self, move |w, tx| {
                    let sql = "INSERT INTO thing VALUES (?, ?, 'Building', NULL, 0)";
                    tx.execute(sql, params![&w.thing, run]).map(|_| ())
                })
                .await
            }
            BuildStep::Number => {
                self.fail(step)?;
                cx.tx(self, |w, tx| {
                    let number = tx.query_int("SELECT coalesce(max(number), 0) + 1 FROM thing", params![])?;
                    w.number = Some(number);
                    let sql = "UPDATE thing SET number = ? WHERE uuid = ?";
                    tx.execute(sql, params![number, &w.thing]).map(|_| ())
                })
                .await
            }
            BuildStep::Make => {
                cx.effect().await?;
                outside.pass("Make", &self.thing).await;
                outside.put(&self.thing, "made");
                self.fail(step)
            }
            BuildStep::Wire => {
                cx.effect().await?;
                outside.pass("Wire", &self.thing).await;
                outside.put(&self.thing, "wired");
                self.fail(step)?;
                cx.tx(self, |w, tx| {
                    let sql = "UPDATE thing SET wired = wired + 1 WHERE uuid = ?";
                    tx.execute(sql, params![&w.thing]).map(|_| ())
                })
                .await
            }
            BuildStep::Finish => {
                self.fail(step)?;
                cx.tx(self, |w, tx| {
                    let sql = "UPDATE thing SET state = 'Ready' WHERE uuid = ?";
                    tx.execute(sql, params![&w.thing]).map(|_| ())
                })
                .await
            }
        }
    }

    async fn undo(&mut self, cx: &mut Cx<Toy>, step: BuildStep) -> Result<()> {
        let outside = cx.env().outside.clone();
        match step {
            BuildStep::Claim => {
                // Only what this run made: the thing may be another's.
                let (sql, run) = ("DELETE FROM thing WHERE uuid = ? AND run = ?", cx.run());
                cx.tx(self, move |w, tx| tx.execute(sql, params![&w.thing, run]).map(|_| ())).await
            }
            BuildStep::Number => {
                let sql = "UPDATE thing SET number = NULL WHERE uuid = ?";
                cx.tx(self, move |w, tx| tx.execute(sql, params![&w.thing]).map(|_| ())).await
            }
            BuildStep::Make => {
                outside.undo_works("Make")?;
                outside.pass("unMake", &self.thing).await;
                outside.take(&self.thing, "made");
                Ok(())
            }
            BuildStep::Wire => {
                outside.undo_works("Wire")?;
                outside.pass("unWire", &self.thing).await;
                outside.take(&self.thing, "wired");
                let sql = "UPDATE thing SET wired = 0 WHERE uuid = ?";
                cx.tx(self, move |w, tx| tx.execute(sql, params![&w.thing]).map(|_| ())).await
            }
            // Ends the run: nothing to take back.
            BuildStep::Finish => Ok(()),
        }
    }

    async fn tell(&mut self, cx: &mut Cx<Toy>, step: BuildStep) -> Result<()> {
        match step {
            BuildStep::Claim => {
                cx.tell("Claim", format!("make thing {}", self.thing), "");
                cx.creates("ThingVO", &self.thing, "a thing");
                self.run(cx, step).await
            }
            BuildStep::Number => {
                self.run(cx, step).await?;
                cx.fact("number", self.number);
                cx.tell("Number", format!("take number {:?}", self.number), "it is the next one");
                Ok(())
            }
            BuildStep::Make | BuildStep::Wire => {
                cx.tell(&format!("{step:?}"), "touch the outside", "");
                Ok(())
            }
            BuildStep::Finish => self.run(cx, step).await,
        }
    }
}

impl Workflow for Build {
    type Env = Toy;
    type Step = BuildStep;
    const NAME: &'static str = "toy.build/1";
    const STEPS: &'static [BuildStep] =
        &[BuildStep::Claim, BuildStep::Number, BuildStep::Make, BuildStep::Wire, BuildStep::Finish];

    fn about(&self) -> About {
        About {
            queue: self.queue.clone(),
            resource_uuid: self.thing.clone(),
            resource_type: "ThingVO".into(),
        }
    }

    async fn step(&mut self, cx: &mut Cx<Toy>, step: BuildStep, dir: Dir) -> Result<()> {
        match dir {
            Dir::Do => self.run(cx, step).await,
            Dir::Undo => self.undo(cx, step).await,
            Dir::Plan => self.tell(cx, step).await,
        }
    }

    fn result(&self, _env: &Toy, tx: &mut dyn Tx) -> Result<Value> {
        let row = tx.query_opt("SELECT * FROM thing WHERE uuid = ?", params![&self.thing])?;
        Ok(
            json!({ "thing": self.thing, "state": row.map(|r| r.text("state")).transpose()?, "number": self.number }),
        )
    }

    fn failure(&self, cause: Fault) -> Fault {
        Fault::new("TOY.1000", format!("thing {} was not built", self.thing)).caused_by(cause)
    }
}
