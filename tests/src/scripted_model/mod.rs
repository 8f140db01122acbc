//! The scripted model: a server with the API of the Bedrock runtime over HTTP/1.1, without a model.
//!
//! The answers are computed from the prompt. A script in the prompt sets the behavior of each region and call, such as
//! `@model us-east-1: throttle(2), answer`. Any number of tests can therefore share one server without shared state.
//! The modules, in the order in which they handle a call:
//!
//! - [`server`]: connections and routes: the operations, `/__health`, `/__calls`, `/__count`, `/__release`, `/__jobs`
//!   and `/__plant`
//! - [`control`]: the routes of Bedrock's control plane and of Service Quotas
//! - [`plants`]: faults that tests plant in models, guardrails, regions and calls
//! - [`path`]: paths of the form `/<region>/model/<model id>/converse[-stream]`
//! - [`prompt`]: the relevant parts of a Converse request
//! - [`prompt_cache`]: the prompt cache of each region
//! - [`demands`]: requests that Bedrock refuses before a model receives them, by generation
//! - [`script`]: the `@model` lines of a prompt
//! - [`action`]: the table of actions; a new action is one row of it
//! - [`caller`]: the calling process, which an action can kill
//! - [`calls`]: the log of calls, and the count that selects the next action
//! - [`hold`]: answers that are held until a test releases them
//! - [`model`]: one call, from its body to its [`reply::Reply`]
//! - [`answer`]: the text of an answer, computed from the prompt
//! - [`completion`]: one answer with its stop reason and usage
//! - [`message`] and [`stream`]: a completion as the JSON of Converse and as the events of ConverseStream
//! - [`frame`]: an event in its binary encoding
//! - [`jobs`]: batch inference, which handles each record as a call
//! - [`profiles`], [`foundation_models`], [`account`] and [`quotas`]: inference profiles, models and the access to them,
//!   guardrails and data retention, and the applied quotas
//! - [`outcome`]: the `@bulk` lines, which set the outcome of a record in a bulk job
//! - [`reply`]: a reply as an HTTP response, including broken ones

mod account;
mod action;
mod answer;
mod caller;
mod calls;
mod completion;
mod control;
mod demands;
mod foundation_models;
mod frame;
mod hold;
mod jobs;
mod message;
mod model;
mod outcome;
mod path;
mod plants;
mod profiles;
mod prompt;
mod prompt_cache;
mod quotas;
mod reply;
mod script;
mod server;
mod stream;

pub use answer::count_findings;
pub use jobs::{Jobs, Store};
pub use model::Model;
pub use server::serve;
