//! WAV, one channel of eight bits.

/// Samples a second: enough for a beep.
pub const RATE: u32 = 8000;

/// The sample that is no sound.
pub const SILENCE: u8 = 128;

/// Puts the header before the samples.
pub fn mono(samples: &[u8]) -> Vec<u8> {
    let size = samples.len() as u32;
    let mut wav = Vec::with_capacity(samples.len() + 44);
    wav.extend(b"RIFF");
    wav.extend((size + 36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes()); // length of what follows
    wav.extend(1u16.to_le_bytes()); // PCM
    wav.extend(1u16.to_le_bytes()); // channels
    wav.extend(RATE.to_le_bytes());
    wav.extend(RATE.to_le_bytes()); // bytes a second
    wav.extend(1u16.to_le_bytes()); // bytes a sample
    wav.extend(8u16.to_le_bytes()); // bits a sample
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(samples);
    wav
}
