//! `toolbay setup`: what is fetched once, and is no part of the binary.

use std::{
    io::Write as _,
    process::{Command, ExitCode, Stdio},
};

use clap::Subcommand;

use super::{FAILED, Failure, Outcome};

/// What `--help` says after the options.
pub(super) const HELP: &str = r"Installs into ${XDG_CACHE_HOME:-~/.cache}/toolbay, where the host finds it.

  toolbay setup inference          ONNX Runtime, which runs models on the CPU: 24 MB from PyPI, checked by its digest
  toolbay setup inference --gpu    the same with CUDA, beside a driver, CUDA 13 and cuDNN 9: 256 MB

It needs bash and Python 3.";

/// The same script that a checkout has.
const ONNX_RUNTIME: &str = include_str!("../../../scripts/onnxruntime.sh");

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct Setup {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// ONNX Runtime, which runs models
    Inference {
        /// The build with CUDA
        #[arg(long)]
        gpu: bool,
    },
}

impl Setup {
    pub(super) fn run(self) -> Outcome {
        let What::Inference { gpu } = self.what;
        let cannot = |error: std::io::Error| {
            Failure::failed(format!("cannot run bash: {error}; install it, or install ONNX Runtime by your package manager"))
        };
        let mut bash = Command::new("bash");
        bash.args(["-s", "--"]).args(gpu.then_some("--gpu")).stdin(Stdio::piped());
        let mut child = bash.spawn().map_err(cannot)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Where it ends before it has read all, its status says why.
            let _ = stdin.write_all(ONNX_RUNTIME.as_bytes());
        }
        let status = child.wait().map_err(cannot)?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}
