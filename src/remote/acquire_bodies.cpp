// Bodies as numbers and texts, one after the other.
#include "remote/acquire_bodies.hpp"

#include <algorithm>

#include "remote/frame.hpp"

namespace leasepool::detail::remote {

namespace {

void put_text(Bytes& out, const std::string& text) {
  const std::size_t size = std::min(text.size(), kMaxName);
  put_number(out, size);
  out.append(text.data(), size);
}

std::string get_text(ByteReader& reader) {
  const std::uint64_t size = get_number(reader);
  if (size > kMaxName) throw DecodeError("a name of " + std::to_string(size) + " bytes");
  std::string text(static_cast<std::size_t>(size), '\0');
  reader.read(text.data(), text.size());
  return text;
}

}  // namespace

void put(Bytes& out, const WantBody& body) {
  put_number(out, static_cast<std::uint64_t>(body.age.count()));
  put_number(out, static_cast<std::uint64_t>(body.lasts.count()));
  put_number(out, body.waits ? 1 : 0);
}

void put(Bytes& out, const TakeBody& body) {
  put(out, body.durations);
  put_text(out, body.owner);
}

WantBody get_want_body(ByteReader& reader) {
  WantBody body;
  body.age = get_duration(reader);
  body.lasts = get_duration(reader);
  body.waits = get_number(reader) != 0;
  return body;
}

TakeBody get_take_body(ByteReader& reader) {
  TakeBody body;
  body.durations = get_extend_body(reader);
  body.owner = get_text(reader);
  return body;
}

}  // namespace leasepool::detail::remote
