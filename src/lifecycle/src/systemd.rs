//! What passes between us and the service manager: notifications out, sockets in. It does not decide
//! when to say what; the driver does, from `states/lifecycle.yaml`.

mod notify;
mod sockets;

pub(crate) use notify::{Notifier, one_line};
pub(crate) use sockets::KEPT_PREFIX;
pub use sockets::{Inherited, Sockets};
