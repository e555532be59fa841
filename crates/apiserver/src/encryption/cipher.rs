//! The ways in which values are encrypted, as upstream lays the bytes out.
//!
//! Source: `k8s.io/apiserver/pkg/storage/value/encrypt`.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};

/// A value could not be encrypted or decrypted; in upstream's words, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(pub(super) &'static str);

/// It begins as if it was written this way, but ends too early.
const SHORT: Failed = Failed("the stored data was shorter than the required size");

/// A key of one of the ways.
#[derive(Clone)]
pub(super) struct Key(Arc<Made>);

enum Made {
    Gcm(Box<LessSafeKey>),
    Cbc { encrypting: Box<PaddedBlockEncryptingKey>, decrypting: Box<PaddedBlockDecryptingKey> },
    Secretbox(Box<XSalsa20Poly1305>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

const BLOCK: usize = 16;
const SECRETBOX_NONCE: usize = 24;

impl Key {
    /// 16 or 32 bytes.
    pub(super) fn aes_gcm(bytes: &[u8]) -> Option<Self> {
        let algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        Some(Self(Arc::new(Made::Gcm(Box::new(LessSafeKey::new(UnboundKey::new(algorithm, bytes).ok()?))))))
    }

    /// 16, 24 or 32 bytes.
    pub(super) fn aes_cbc(bytes: &[u8]) -> Option<Self> {
        let algorithm = match bytes.len() {
            16 => &AES_128,
            24 => &AES_192,
            32 => &AES_256,
            _ => return None,
        };
        let key = || UnboundCipherKey::new(algorithm, bytes).ok();
        let encrypting = Box::new(PaddedBlockEncryptingKey::cbc_pkcs7(key()?).ok()?);
        let decrypting = Box::new(PaddedBlockDecryptingKey::cbc_pkcs7(key()?).ok()?);
        Some(Self(Arc::new(Made::Cbc { encrypting, decrypting })))
    }

    /// 32 bytes.
    pub(super) fn secretbox(bytes: &[u8]) -> Option<Self> {
        let cipher = XSalsa20Poly1305::new_from_slice(bytes).ok()?;
        Some(Self(Arc::new(Made::Secretbox(Box::new(cipher)))))
    }

    /// Appends a value, encrypted. `place`: the key that it is stored under, bound to it where the
    /// way can do that.
    pub(super) fn encrypt(&self, value: &[u8], place: &[u8], into: &mut Vec<u8>) -> Result<(), Failed> {
        let failed = |_| Failed("the value cannot be encrypted");
        match &*self.0 {
            Made::Gcm(key) => {
                let nonce: [u8; NONCE_LEN] = random()?;
                let mut sealed = value.to_vec();
                let bound = Aad::from(place);
                key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed)
                    .map_err(failed)?;
                into.extend_from_slice(&nonce);
                into.extend_from_slice(&sealed);
            }
            Made::Cbc { encrypting, .. } => {
                let start: [u8; BLOCK] = random()?;
                let mut sealed = value.to_vec();
                let context = EncryptionContext::Iv128(start.into());
                encrypting.less_safe_encrypt(&mut sealed, context).map_err(failed)?;
                into.extend_from_slice(&start);
                into.extend_from_slice(&sealed);
            }
            Made::Secretbox(cipher) => {
                let nonce: [u8; SECRETBOX_NONCE] = random()?;
                let sealed =
                    cipher.encrypt(&nonce.into(), value).map_err(|_| Failed("the value cannot be encrypted"))?;
                into.extend_from_slice(&nonce);
                into.extend_from_slice(&sealed);
            }
        }
        Ok(())
    }

    /// The value that was encrypted.
    pub(super) fn decrypt(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Failed> {
        match &*self.0 {
            Made::Gcm(key) => {
                const OTHER: Failed = Failed("cipher: message authentication failed");
                let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SHORT)?;
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SHORT)?;
                let mut value = rest.to_vec();
                let length = key.open_in_place(nonce, Aad::from(place), &mut value).map_err(|_| OTHER)?.len();
                value.truncate(length);
                Ok(value)
            }
            Made::Cbc { decrypting, .. } => {
                const OTHER: Failed = Failed("invalid padding on input");
                let (start, rest) = sealed.split_first_chunk::<BLOCK>().ok_or(SHORT)?;
                if rest.len() % BLOCK != 0 {
                    return Err(Failed("the stored data is not a multiple of the block size"));
                }
                if rest.is_empty() {
                    return Err(Failed("invalid PKCS7 data (empty or not padded)"));
                }
                let mut value = rest.to_vec();
                let context = DecryptionContext::Iv128((*start).into());
                let length = decrypting.decrypt(&mut value, context).map_err(|_| OTHER)?.len();
                value.truncate(length);
                Ok(value)
            }
            Made::Secretbox(cipher) => {
                const OTHER: Failed = Failed("output array was not large enough for encryption");
                let (nonce, rest) = sealed.split_first_chunk::<SECRETBOX_NONCE>().ok_or(SHORT)?;
                cipher.decrypt(&(*nonce).into(), rest).map_err(|_| OTHER)
            }
        }
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Failed> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failed("the system has no random numbers"))?;
    Ok(bytes)
}
