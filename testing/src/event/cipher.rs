//! WeChat's signature and encryption, written from its description alone, so that a misreading in the bundle shows.
//!
//! See [WeChat Docs/消息加解密说明](https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Technical_Plan.html).

use aes::Aes256;
use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use sha1::{Digest, Sha1};

/// Bytes. The padding counts to this length, not to AES's 16.
const BLOCK: usize = 32;
/// Bytes. 16 random ones and the length of the message come before the message.
const HEADER: usize = 20;

/// 43 characters hold 258 bits, of which a key takes 256.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The signature over `parts`, the callback token among them.
#[must_use]
pub fn sign(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    let digest = Sha1::digest(sorted.concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(encoding_aes_key: &str) -> [u8; 32] {
    let decoded = LENIENT.decode(format!("{encoding_aes_key}=")).unwrap();
    decoded.try_into().unwrap()
}

fn iv(key: &[u8; 32]) -> [u8; 16] {
    key[..16].try_into().unwrap()
}

/// The `Encrypt` of `message`.
pub(super) fn seal(encoding_aes_key: &str, app_id: &str, message: &[u8]) -> String {
    let key = key(encoding_aes_key);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut frame = [b"0123456789abcdef", &length[..], message, app_id.as_bytes()].concat();
    let padding = BLOCK - frame.len() % BLOCK;
    frame.resize(frame.len() + padding, u8::try_from(padding).unwrap());
    let encryptor = cbc::Encryptor::<Aes256>::new(&key.into(), &iv(&key).into());
    STANDARD.encode(encryptor.encrypt_padded_vec::<NoPadding>(&frame))
}

/// The message in an `Encrypt` that was made for `app_id`.
#[must_use]
pub fn open(encoding_aes_key: &str, app_id: &str, encrypt: &str) -> String {
    let key = key(encoding_aes_key);
    let decryptor = cbc::Decryptor::<Aes256>::new(&key.into(), &iv(&key).into());
    let mut frame = decryptor
        .decrypt_padded_vec::<NoPadding>(&STANDARD.decode(encrypt).unwrap())
        .unwrap();
    frame.truncate(frame.len() - usize::from(*frame.last().unwrap()));
    let length = u32::from_be_bytes(frame[16..HEADER].try_into().unwrap());
    let (message, owner) = frame[HEADER..].split_at(usize::try_from(length).unwrap());
    assert_eq!(owner, app_id.as_bytes(), "the AppID in the ciphertext");
    String::from_utf8(message.to_vec()).unwrap()
}
