//! What the server says about its bus.

use crate::app::App;

/// `off`, `connected` or `reconnecting`.
pub fn state(app: &App) -> &'static str {
    match app.bus.bus() {
        None => "off",
        Some(bus) if bus.is_connected() => "connected",
        Some(_) => "reconnecting",
    }
}
