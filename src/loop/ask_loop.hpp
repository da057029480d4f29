// ask_loop: a question of another thread that the loop answers on its own.
#pragma once

#include <exception>
#include <future>
#include <memory>
#include <new>
#include <utility>

#include "leasepool/error.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Waits for the loop's next turn. Throws std::bad_alloc, and what `gone` says where the loop ended before it answered.
// Not on the loop's thread, which would wait for itself.
template <class Question, class Gone>
auto ask_loop(LoopCore& loop, Question question, const Gone& gone) {
  using Answer = decltype(question());
  auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> answer = promise->get_future();
  loop.post([promise = std::move(promise), question = std::move(question)] {
    try {
      promise->set_value(question());
    } catch (const std::bad_alloc&) {
      promise->set_exception(std::current_exception());
    }
  });
  try {
    return answer.get();
  } catch (const std::future_error&) {  // the question was dropped
    const Error error = gone();
    error.raise();
  }
}

}  // namespace leasepool::detail
