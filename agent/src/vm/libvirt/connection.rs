//! The connection to libvirtd: opened, watched and opened again by one supervisor; guests never notice.
//!
//! libvirt wants an event loop. Its default one runs on a thread of its own, where the callbacks below are called; they
//! only put what they hear into a channel. Blocking calls run on tokio's blocking threads.

use std::ffi::{CStr, c_int, c_void};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use cairn_types::{Fault, Result, code};
use tokio::sync::mpsc;
use virt::connect::Connect;
use virt::sys;

/// Seconds between keep-alive messages and how many may stay unanswered: a hung libvirtd is noticed after 15 s.
const KEEP_ALIVE: (i32, u32) = (5, 2);

/// What the callbacks hear.
#[derive(Debug)]
pub enum Heard {
    /// A connection stands.
    Opened,
    /// A domain changed: name, event, detail.
    Domain(String, i32, i32),
    /// The connection is gone.
    Closed,
}

/// An open connection, closed when the last user lets go of it.
pub struct Connection(Connect);

impl Connection {
    /// The crate's handle.
    pub fn get(&self) -> &Connect {
        &self.0
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the pointer is valid until `close` below; an unregistered callback is an error without effect.
        unsafe { sys::virConnectUnregisterCloseCallback(self.0.as_ptr(), Some(on_close)) };
        let _ = self.0.close();
    }
}

/// The connection of now, shared by all calls.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    connection: Option<Arc<Connection>>,
    failing: Option<Fault>,
}

impl Shared {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, or why there is none.
    pub fn connection(&self) -> Result<Arc<Connection>> {
        let slot = self.slot();
        slot.connection
            .clone()
            .ok_or_else(|| slot.failing.clone().unwrap_or_else(|| unreachable_fault("not connected yet")))
    }

    /// Why there is no connection, if so.
    pub fn failing(&self) -> Option<Fault> {
        self.slot().failing.clone()
    }

    fn set(&self, connection: Option<Arc<Connection>>, failing: Option<Fault>) {
        let old = {
            let mut slot = self.slot();
            slot.failing = failing;
            std::mem::replace(&mut slot.connection, connection)
        };
        // Closing talks to libvirtd; not under the lock, and not on a thread of the runtime.
        std::thread::spawn(move || drop(old));
    }
}

/// The fault of a libvirtd that does not answer.
pub fn unreachable_fault(detail: impl std::fmt::Display) -> Fault {
    Fault::new(code::AGENT_LIBVIRTD, "libvirtd on the host does not answer").for_operator(detail).retry()
}

/// Keeps the connection open and says so through `heard`. Never returns.
pub async fn supervise(
    uri: String,
    shared: Shared,
    heard: mpsc::UnboundedSender<Heard>,
    lost: Arc<tokio::sync::Notify>,
) {
    start_event_loop();
    let mut told = false;
    loop {
        let (uri_now, heard_now) = (uri.clone(), heard.clone());
        let mut opening = tokio::task::spawn_blocking(move || open(&uri_now, heard_now));
        // A libvirtd that hangs takes the call without an answer. There is never more than one such call.
        let opened = loop {
            match tokio::time::timeout(Duration::from_secs(10), &mut opening).await {
                Ok(Ok(opened)) => break opened,
                Ok(Err(e)) => break Err(unreachable_fault(e)),
                Err(_) => shared.set(None, Some(unreachable_fault("opening the connection takes over 10 s"))),
            }
        };
        match opened {
            Ok(connection) => {
                tracing::info!("connected to libvirt at {uri}");
                shared.set(Some(Arc::new(connection)), None);
                told = false;
                let _ = heard.send(Heard::Opened);
                lost.notified().await;
                tracing::warn!("the connection to libvirtd is lost; guests go on");
                shared.set(None, Some(unreachable_fault("the connection is lost")));
            }
            Err(fault) => {
                if !told {
                    tracing::warn!(operator = fault.operator, "{fault}");
                    told = true;
                }
                shared.set(None, Some(fault));
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn start_event_loop() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        virt::error::clear_error_callback();
        if let Err(e) = virt::event::event_register_default_impl() {
            tracing::error!("libvirt's event loop could not be registered: {e}");
            return;
        }
        let looping = std::thread::Builder::new().name("libvirt-events".into()).spawn(|| {
            loop {
                if let Err(e) = virt::event::event_run_default_impl() {
                    tracing::warn!("libvirt's event loop: {e}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        });
        if let Err(e) = looping {
            tracing::error!("the thread for libvirt's events did not start: {e}");
        }
    });
}

fn open(uri: &str, heard: mpsc::UnboundedSender<Heard>) -> Result<Connection> {
    let connection = Connection(Connect::open(Some(uri)).map_err(unreachable_fault)?);
    let connect = connection.get();
    // The test driver has no keep-alive.
    let _ = connect.set_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1);
    // SAFETY: `on_lifecycle` has the signature that VIR_DOMAIN_EVENT_ID_LIFECYCLE calls; libvirt documents the cast to
    // the generic callback type. The boxed sender lives until libvirt calls `free_sender` once.
    let registered = unsafe {
        let callback: unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            c_int,
            c_int,
            *mut c_void,
        ) -> c_int = on_lifecycle;
        let generic = std::mem::transmute::<
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int,
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
        >(callback);
        let event = c_int::try_from(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE).unwrap_or(0);
        let any = std::ptr::null_mut();
        let opaque = boxed(heard.clone());
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            any,
            event,
            Some(generic),
            opaque,
            Some(free_sender),
        )
    };
    if registered < 0 {
        return Err(unreachable_fault(virt::error::Error::last_error()));
    }
    // SAFETY: as above; `on_close` has the type that libvirt asks for.
    let watched = unsafe {
        sys::virConnectRegisterCloseCallback(
            connect.as_ptr(),
            Some(on_close),
            boxed(heard),
            Some(free_sender),
        )
    };
    if watched < 0 {
        tracing::debug!("the driver tells no loss of its connection: {}", virt::error::Error::last_error());
    }
    Ok(connection)
}

fn boxed(heard: mpsc::UnboundedSender<Heard>) -> *mut c_void {
    Box::into_raw(Box::new(heard)).cast()
}

/// SAFETY: libvirt calls this once, with the pointer made by [`boxed`], after the last callback.
unsafe extern "C" fn free_sender(opaque: *mut c_void) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(opaque.cast::<mpsc::UnboundedSender<Heard>>()) });
}

/// SAFETY: libvirt calls this with a domain that is valid during the call and the pointer made by [`boxed`].
unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: see above; the name is a C string owned by the domain.
    let (name, heard) = unsafe {
        let name = sys::virDomainGetName(domain);
        if name.is_null() {
            return 0;
        }
        (CStr::from_ptr(name).to_string_lossy().into_owned(), &*opaque.cast::<mpsc::UnboundedSender<Heard>>())
    };
    let _ = heard.send(Heard::Domain(name, event, detail));
    0
}

/// SAFETY: libvirt calls this with the pointer made by [`boxed`].
unsafe extern "C" fn on_close(_: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    // SAFETY: see above.
    let heard = unsafe { &*opaque.cast::<mpsc::UnboundedSender<Heard>>() };
    let _ = heard.send(Heard::Closed);
}
