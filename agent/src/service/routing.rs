//! Which code answers a call: the generated server, except for Attach.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::{Codec, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::output_body::OutputBody;
use super::{AgentService, MAX_REQUEST_BYTES};
use crate::proto::agent_server::AgentServer;
use crate::proto::{AttachRequest, AttachResponse};

const ATTACH_PATH: &str = "/pyro.agent.v1.Agent/Attach";

/// The service as it is put on a connection.
#[derive(Clone)]
pub(crate) struct RoutedService {
    service: AgentService,
    generated: AgentServer<AgentService>,
}

impl AgentService {
    /// This service, ready for a connection.
    pub(crate) fn routed(&self) -> RoutedService {
        let generated = AgentServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST_BYTES);
        RoutedService { service: self.clone(), generated }
    }
}

impl Service<Request<Incoming>> for RoutedService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() != ATTACH_PATH {
            return self.generated.call(request);
        }
        let service = self.service.clone();
        Box::pin(async move {
            let decoder = ProstCodec::<AttachResponse, AttachRequest>::default().decoder();
            let requests = Streaming::new_request(decoder, request.into_body(), None, Some(MAX_REQUEST_BYTES));
            let attached = service.attach_to_command(requests).await;
            Ok(attached.map_or_else(|status| status.into_http(), OutputBody::response))
        })
    }
}
