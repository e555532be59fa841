//! Bodies in protobuf: an object that was read is written, and reads as itself from then on.

use portolan_api::decode::Limits;
use portolan_api::protobuf;

pub(crate) fn run(body: &[u8]) {
    // Taken for JSON, any bytes are written or refused.
    let _ = protobuf::encode(body);
    let Ok(object) = protobuf::decode(body, None, &Limits::default()) else { return };
    // Text where a quantity or JSON is due may be anything: then it is refused, not written.
    let Ok(written) = protobuf::encode(object.to_string().as_bytes()) else { return };
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let Ok(once) = protobuf::decode(&written, None, &limits) else { return };
    let again = protobuf::encode(once.to_string().as_bytes()).expect("what was written once can be written again");
    assert_eq!(again, written);
}
