//! Loads the kernel modules that the host packed beside the agent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::system::finit_module;

use crate::system_error::{Doing, SystemError};

/// Inserts every `*.ko` of `directory` in lexical order, which the host chose so that dependencies come first, and
/// removes each file: the initramfs is memory. Returns how many were inserted; no directory means none.
///
/// # Errors
/// The file that the kernel refused. One that is already there (or built in) is fine.
pub fn load_all(directory: &Path) -> Result<usize, SystemError> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(0) };
    let mut modules: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ko"))
        .collect();
    modules.sort();
    for module in &modules {
        let file = File::open(module).doing(|| format!("open {}", module.display()))?;
        match finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing(|| format!("insert {}", module.display())),
        }
        fs::remove_file(module).doing(|| format!("remove {}", module.display()))?;
    }
    Ok(modules.len())
}
