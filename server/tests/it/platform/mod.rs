//! Conventions of the API, settings, tags, web hooks, runs, audit.

mod ask;
mod audit;
mod bodies;
mod errors;
mod jobs;
mod periodic;
mod runs;
mod settings;
mod shown;
mod tags;
mod web_hooks;
