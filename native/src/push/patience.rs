//! Asking again: a hub that is busy says when, one that is out of order is asked after a pause that grows.

use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::Response;

use crate::hub::{Trouble, header};
use crate::interrupt;
use crate::output::Output;

/// How often the same is asked again.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// A hub that asks for a longer wait is told to a person, who decides.
const LONGEST_WAIT: u64 = 120;
/// How often a wait looks whether it was ended.
const BLINK: Duration = Duration::from_millis(50);

/// What a person ended.
pub fn stopped() -> Trouble {
    Trouble::Away("stopped".into())
}

/// Sends a request until it is answered; answers are of any status but those of a hub that is busy or out of order.
///
/// # Errors
/// [`Trouble::Away`] where none comes, or where a person ended it; a hub that asks for a longer wait.
pub fn patiently(
    output: Output,
    mut send: impl FnMut() -> Result<Response<Body>, ureq::Error>,
) -> Result<Response<Body>, Trouble> {
    let mut tries = 0;
    loop {
        if interrupt::asked() {
            return Err(stopped());
        }
        let answer = send();
        if interrupt::asked() {
            return Err(stopped());
        }
        let why = match answer {
            Ok(response) => match (response.status().as_u16(), wait_of(&response)) {
                (429, Some(seconds)) if seconds <= LONGEST_WAIT && tries < RETRIES => {
                    output.say(&format!("the hub asks to wait {seconds} s (429)"));
                    pause(Duration::from_secs(seconds))?;
                    tries += 1;
                    continue;
                }
                (429, Some(seconds)) => {
                    return Err(Trouble::Refused(format!(
                        "the hub asks to wait {seconds} s (429); the same command goes on then"
                    )));
                }
                (status @ (408 | 429 | 500..), _) => format!("it answers {status}"),
                _ => return Ok(response),
            },
            Err(error) => error.to_string(),
        };
        if tries == RETRIES {
            return Err(Trouble::Away(why));
        }
        pause(PAUSE * 4_u32.pow(tries))?;
        tries += 1;
    }
}

/// The seconds that a hub asks to wait.
fn wait_of(response: &Response<Body>) -> Option<u64> {
    header(response, "retry-after")?.trim().parse().ok()
}

/// Waits, but not past a person's end of it.
fn pause(time: Duration) -> Result<(), Trouble> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if interrupt::asked() {
            return Err(stopped());
        }
        std::thread::sleep(BLINK.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
