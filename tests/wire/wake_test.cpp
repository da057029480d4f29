// Tests of Wake: how often it is sent, whatever the kernel takes of it.
#include "wire/wake.hpp"

#include "catch.hpp"

using leasepool::detail::kFrameHeaderSize;
using leasepool::detail::Wake;

namespace {

// Begins to send what is left, of which the kernel takes so much.
void send(Wake& wake, std::size_t taken) {
  wake.begun();
  wake.sent(taken);
}

}  // namespace

TEST_CASE("a wake is sent once, however often it was wanted before that", "[wake]") {
  Wake wake;
  CHECK_FALSE(wake.due());
  wake.want();
  wake.want();
  CHECK(wake.due());
  CHECK(wake.left().size() == kFrameHeaderSize);
  send(wake, kFrameHeaderSize);
  CHECK_FALSE(wake.due());
}

TEST_CASE("a wake that is wanted while one is under way is another", "[wake]") {
  Wake wake;
  wake.want();
  wake.begun();
  wake.want();
  wake.sent(kFrameHeaderSize);
  CHECK(wake.due());
  send(wake, kFrameHeaderSize);
  CHECK_FALSE(wake.due());
}

TEST_CASE("a wake of which nothing was taken is sent again, once", "[wake]") {
  Wake wake;
  wake.want();
  wake.begun();
  wake.want();
  wake.refused();
  CHECK(wake.left().size() == kFrameHeaderSize);
  send(wake, kFrameHeaderSize);
  CHECK_FALSE(wake.due());
}

TEST_CASE("a wake that was sent in part and then refused is sent to its end, and not a second time", "[wake]") {
  Wake wake;
  wake.want();
  send(wake, 5);
  CHECK(wake.due());
  CHECK(wake.left().size() == kFrameHeaderSize - 5);
  wake.begun();
  wake.refused();
  CHECK(wake.left().size() == kFrameHeaderSize - 5);
  send(wake, kFrameHeaderSize - 5);
  CHECK_FALSE(wake.due());
}

TEST_CASE("a wake that is wanted behind one that was sent in part is sent after it", "[wake]") {
  Wake wake;
  wake.want();
  send(wake, 5);
  wake.want();
  send(wake, kFrameHeaderSize - 5);
  CHECK(wake.due());
  CHECK(wake.left().size() == kFrameHeaderSize);
}

TEST_CASE("nothing is left of a wake where nothing is sent any more", "[wake]") {
  Wake wake;
  wake.want();
  send(wake, 5);
  wake.stop();
  CHECK_FALSE(wake.due());
}
