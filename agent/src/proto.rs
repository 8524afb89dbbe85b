//! Types and service generated from `proto/pyro/agent/v1/agent.proto`; the contract's comments are there.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]

tonic::include_proto!("pyro.agent.v1");
