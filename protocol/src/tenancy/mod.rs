//! Proof of tenancy. The only module that mints it: [`admission`] from a subject that NATS
//! authorised, [`replay`] from the subject under which an event is stored.

pub mod admission;
mod context;
pub mod replay;
mod tag;

pub use admission::{Admission, Admitted, Rejected, ServiceRequest};
pub use context::{Claims, Principal, RequestContext, Scope, TenantScope};
pub use tag::Tagger;
