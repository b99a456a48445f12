//! Turns a panic into words: message and place, once, in the log and in the status line. It decides
//! nothing about what a panic means; the supervisor and the driver do.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

thread_local! {
    /// Where the latest panic of this thread happened; the payload does not know.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the panic message on standard error by a log line. Only a binary may do that.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
        let message = text(info.payload());
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let at = place.as_deref().unwrap_or("unknown");
        tracing::error!(thread = %thread, at = %at, err = %message, "Panic");
        PLACE.with(|cell| *cell.borrow_mut() = place);
    }));
}

/// Runs `body` and turns a panic into its description.
pub(crate) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    // What a panicking body leaves half done is dropped by the caller together with the body.
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|payload| describe(&*payload))
}

/// The message of a panic, with its place if the hook saw it on this thread.
pub(crate) fn describe(payload: &(dyn Any + Send)) -> String {
    let message = text(payload);
    match PLACE.with(|cell| cell.borrow_mut().take()) {
        Some(place) => format!("{message} ({place})"),
        None => message,
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&'static str>().copied();
    let built = payload.downcast_ref::<String>().map(String::as_str);
    fixed.or(built).unwrap_or("panic without a message").to_owned()
}
