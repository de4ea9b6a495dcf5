//! A broker against a real nats-server: one module for each family of promises.

mod admin;
mod appends;
mod bench_tmp;
mod harness;
mod messages;
mod observations;
mod trouble;
