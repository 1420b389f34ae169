//! A neighbour that uses up the machine's caches, and a part of its time.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// More than the last cache of most machines.
const BYTES: usize = 64 << 20;
/// Bytes that a cache takes in at once on every usual processor.
const LINE: usize = 64;
/// It works for so long, and then rests for as long.
const SHARE: Duration = Duration::from_millis(2);

/// Touches a lot of memory, again and again, until it is ended.
pub(crate) fn run() -> ! {
    let mut memory = vec![0_u8; BYTES];
    loop {
        let begun = Instant::now();
        for (index, byte) in memory.iter_mut().step_by(LINE).enumerate() {
            *byte = byte.wrapping_add(1);
            if index % 1024 == 0 && begun.elapsed() >= SHARE {
                std::thread::sleep(SHARE);
            }
        }
        black_box(&mut memory);
    }
}
