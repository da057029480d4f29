// Parts: a call or an outcome as one item or several, and back. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "leasepool/detail/bytes.hpp"
#include "remote/lease_bodies.hpp"
#include "remote/session.hpp"

namespace leasepool::detail::remote {

// Queues all but the last piece as items of type `part`, and the last one behind `head`; returns the number of that.
template <class Head>
std::uint64_t push_in_parts(Session& session, FrameType type, const Head& head, std::span<const std::byte> bytes,
                            std::size_t most) {
  while (bytes.size() > most) {
    Bytes part;
    part.append(bytes.first(most));
    session.push(FrameType::part, std::move(part));
    bytes = bytes.subspan(most);
  }
  Bytes body;
  body.reserve(64 + bytes.size());
  put(body, head);
  body.append(bytes);
  return session.push(type, std::move(body));
}

// Puts pieces together again; holds no more than a limit.
class PartAssembly {
 public:
  explicit PartAssembly(std::size_t limit) noexcept : limit_(limit) {}

  // Throws DecodeError where it becomes too much.
  void add(std::span<const std::byte> part) {
    check_room(part.size());
    bytes_.append(part);
  }
  // The whole, with the last piece; until the next add(). Where there was one piece, it is that, where it lies.
  [[nodiscard]] std::span<const std::byte> finish(std::span<const std::byte> last) {
    check_room(last.size());
    whole_ = std::exchange(bytes_, Bytes());
    if (whole_.size() == 0) return last;
    whole_.append(last);
    return whole_.view();
  }

 private:
  void check_room(std::size_t more) const {
    if (more > limit_ - bytes_.size()) {
      throw DecodeError("more than " + std::to_string(limit_) + " bytes of arguments or of a result");
    }
  }

  std::size_t limit_;
  Bytes bytes_;
  Bytes whole_;
};

}  // namespace leasepool::detail::remote
