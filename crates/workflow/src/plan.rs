//! What a run would do (BEY-01).

use serde::Serialize;

/// What a change would do, found by walking its workflow without touching anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One sentence.
    pub summary: String,
    /// What each step would do.
    pub steps: Vec<PlanStep>,
    /// Resources that would come into being.
    pub creates: Vec<PlannedResource>,
    /// Resources that would go, the cascade included.
    pub deletes: Vec<PlannedResource>,
    /// Facts for programs, such as the chosen host and addresses.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanStep {
    /// Name of the step.
    pub step: String,
    /// What it would do.
    pub text: String,
    /// Why so, where there was a choice.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A resource that would come or go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedResource {
    /// Such as `VmInstanceVO`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Its uuid.
    pub uuid: String,
    /// Its name, if it has one.
    pub name: String,
}
