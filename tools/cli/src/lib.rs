//! what makes five tools one suite: flags, messages, exit codes, progress, reports, signals.
