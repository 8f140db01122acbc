//! A scripted model: Bedrock Runtime over HTTP/1.1, without a model behind it.
//!
//! What it answers is computed from the prompt; how it behaves, per region and call, is written
//! in the prompt as well (`@model us-east-1: throttle(2), answer`), so that any number of tests
//! share one server and no state. The way of one call, a module per step:
//!
//! - [`server`]: connections and routes; `/__health`, `/__calls`, `/__count`, `/__release` and `/__jobs` next to the
//!   operations
//! - [`path`]: `/<region>/model/<model id>/converse[-stream]`
//! - [`prompt`]: what of a Converse body matters here
//! - [`demands`]: what Bedrock refuses before a model sees it, by generation
//! - [`script`]: the `@model` lines of a prompt
//! - [`action`]: the table of everything a region can do; a new one is one line there
//! - [`caller`]: the process that asks, which an action can kill
//! - [`calls`]: the log of calls, and the count that decides which action comes next
//! - [`hold`]: answers that wait until a test lets them go
//! - [`model`]: one call from body to [`reply::Reply`]
//! - [`answer`]: what is said, computed from the prompt
//! - [`completion`]: one answer: what is said, how it stops, what it used
//! - [`message`] and [`stream`]: a completion as the JSON of Converse and as the events of ConverseStream
//! - [`frame`]: an event as bytes on the wire
//! - [`jobs`]: batch inference, whose records are calls of their own
//! - [`outcome`]: the `@bulk` lines: what a batch inference job does with a record
//! - [`reply`]: a reply as an HTTP response, the broken ones included

mod action;
mod answer;
mod caller;
mod calls;
mod completion;
mod demands;
mod frame;
mod hold;
mod jobs;
mod message;
mod model;
mod outcome;
mod path;
mod prompt;
mod reply;
mod script;
mod server;
mod stream;

pub use jobs::{Jobs, Store};
pub use model::Model;
pub use server::serve;
