//! Names under which people keep what should not leave their machine. It is named in a warning, and comes along all the same:
//! the program that needs it would otherwise not run.

/// Names, compared without case.
const NAMES: [&str; 18] = [
    ".env",
    ".npmrc",
    ".pypirc",
    ".netrc",
    ".yarnrc.yml",
    ".git-credentials",
    ".pgpass",
    ".htpasswd",
    ".dockercfg",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "credentials.json",
    "service-account.json",
    ".vault-token",
    "terraform.tfstate",
    "kubeconfig",
];
const ENDINGS: [&str; 8] = [".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".ppk", ".kdbx"];
/// Kept by their whole path's end.
const PATHS: [&str; 3] = [".aws/credentials", ".docker/config.json", ".cargo/credentials.toml"];
/// What begins like `.env.` and is for everybody.
const EXAMPLES: [&str; 5] = [".example", ".sample", ".template", ".dist", ".defaults"];

/// Whether the file is one of those by its name.
#[must_use]
pub fn is_named_like_one(path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path).to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let variables = name.starts_with(".env.") && !EXAMPLES.iter().any(|ending| name.ends_with(ending));
    variables
        || NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || PATHS.iter().any(|ending| path == *ending || path.ends_with(&format!("/{ending}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for path in
            [&b".env"[..], b"a/.env.local", b"a/.NPMRC", b"keys/server.key", b"id_ed25519", b"x/.aws/credentials"]
        {
            assert!(is_named_like_one(path), "{}", String::from_utf8_lossy(path));
        }
        for path in [&b"environment"[..], b".env.example", b"id_rsa.pub", b"key", b"credentials", b"a.env"] {
            assert!(!is_named_like_one(path), "{}", String::from_utf8_lossy(path));
        }
    }
}
