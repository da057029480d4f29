// Calls that cannot work, which must not compile: the compiler's error at each line says what stands behind it.
#include <leasepool/leasepool.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lp = leasepool;

struct OnlyMoves {
  OnlyMoves() = default;
  OnlyMoves(OnlyMoves&&) = default;
  OnlyMoves& operator=(OnlyMoves&&) = default;
};
int square(int x);
int grow(std::vector<int>& values);
int take(std::unique_ptr<int> value);
std::atomic<int>& counter();
int load(std::string path);
std::vector<int> lengths(const std::vector<std::string_view>& texts);

void of_a_lease(lp::ExecutorLease& lease) {
  std::vector<int> values;
  const auto boxed = std::make_unique<int>(1);
  OnlyMoves only_moves;
  const auto callback = [](const lp::Result<int>&) {};
  (void)lease.run(5);                                     // says: CanBeCalledWithCopiesOfItsArguments
  (void)lease.run(square);                                // says: HasAnArgumentForEachParameter
  (void)lease.run(square, 1, 2);                          // says: HasAnArgumentForEachParameter
  (void)lease.run(square, "text");                        // says: CanBeCalledWithCopiesOfItsArguments
  (void)lease.run([](int x) { return x; }, "text");       // says: CanBeCalledWithCopiesOfItsArguments
  (void)lease.run(grow, values);                          // says: PassesNonConstReferencesByStdRef
  (void)lease.run(take, boxed);                           // says: CopiesNoLvalueThatOnlyMoves
  (void)lease.run([](const OnlyMoves&) {}, only_moves);   // says: CopiesNoLvalueThatOnlyMoves
  (void)lease.run(counter);                               // says: ReturnsWhatCanBeMoved
  (void)lease.with({.timeout = {}}).run(square, "text");  // says: CanBeCalledWithCopiesOfItsArguments
  (void)lease.submit(square, "text");                     // says: CanBeCalledWithCopiesOfItsArguments
  lease.run_async(square, 1);                             // says: CanBeACallback
  lease.run_async(square);                                // says: PossibleCallAndCallback
  lease.run_async(square, "text", callback);              // says: CanBeCalledWithCopiesOfItsArguments
  lease.run_async(square, 1, [] {});                      // says: CallbackTakesTheResult
  lease.run_async(grow, values, callback);                // says: PassesNonConstReferencesByStdRef
}

void of_a_grinder(lp::WorkGrinder& grinder) {
  (void)grinder.submit();                                 // says: HasAnArgumentForEachParameter
  (void)grinder.submit(square, "text");                   // says: CanBeCalledWithCopiesOfItsArguments
  (void)grinder.submit_when_room(square);                 // says: HasAnArgumentForEachParameter
  (void)grinder.enqueue(square, 1, 2);                    // says: HasAnArgumentForEachParameter
  (void)grinder.submit_from_thread(square, nullptr);      // says: CanBeCalledWithCopiesOfItsArguments
  grinder.submit_async(square, 1);                        // says: CanBeACallback
  grinder.submit_when_room_async(square, 1, [](int) {});  // says: CallbackTakesTheResult
  (void)grinder.batch(square);                            // says: TakesAndReturnsVectors
  const auto batch = grinder.batch(lengths);
  auto once = [boxed = std::make_unique<int>(1)](std::vector<int> v) { return v; };
  (void)grinder.batch(std::move(once));                                               // says: CanBeCopiedForEachBatch
  (void)grinder.batch([](std::span<bool> v) { return std::vector<int>(v.size()); });  // says: TakesNoSpanOfBool
  (void)grinder.batch(5);                                                             // says: TakesAndReturnsVectors
  (void)batch.submit(5);                            // says: CanBeCalledWithCopiesOfItsArguments
  (void)batch.submit(std::string("gone at once"));  // says: KeepsWhatItsArgumentsLookAt
  (void)batch.submit("a", "b");                     // says: HasAnArgumentForEachParameter
}

void of_others(lp::Loop& loop, lp::Task<int> task) {
  (void)lp::Initializer(5);                               // says: CanBeCalledWithCopiesOfItsArguments
  (void)lp::Initializer(load);                            // says: HasAnArgumentForEachParameter
  (void)lp::Initializer(take, std::make_unique<int>(1));  // says: CanBeCopiedForEachWorker
  (void)lp::when_all(5, loop.sleep({}));                  // says: CanBeAwaited
  (void)lp::when_all(task);                               // says: CanBeAwaited
  loop.block_on(5);                                       // says: Task
  loop.block_on(task);                                    // says: Task
  loop.block_on(loop.sleep({}));                          // says: Task
  loop.spawn(std::move(task));                            // says: Task
  loop.post(5);                                           // says: move_only_function
  loop.post([](int) {});                                  // says: move_only_function
  (void)loop.call_after(lp::Duration(1), square);         // says: move_only_function
  (void)loop.call_after("soon", [] {});                   // says: TimeSpan
}

void of_a_manager(lp::LeasedExecutorManager& manager, lp::ExecutorLease& lease) {
  manager.start_async([] {});                          // says: move_only_function
  manager.stop_async([](int) {});                      // says: move_only_function
  manager.acquire_async({}, [](lp::Result<void>) {});  // says: move_only_function
  (void)manager.acquire("owner");                      // says: AcquireOptions
  (void)lease.with("text");                            // says: CallOptions
}

struct Members {
  int member(int x);
};
int printed(const char* format, ...);
LEASEPOOL_REGISTER([](int x) { return x; });  // says: IsAFreeFunction
LEASEPOOL_REGISTER(&Members::member);         // says: IsAFreeFunction
LEASEPOOL_REGISTER(printed);                  // says: IsAFreeFunction
LEASEPOOL_REGISTER(5);                        // says: IsAFreeFunction

struct Locked {
  std::mutex mutex;
};
struct Secret {
  Secret() = default;
  int get() const { return number; }

 private:
  int number = 0;
};
struct Refers {
  int& number;
};
struct Outer {
  std::string name;
  std::vector<std::optional<Locked>> inside;
};
struct Plain {
  std::string name;
  std::vector<Outer*> pointers;
};
struct Good {
  int numbers[3];
  std::vector<Good> more;
};
int lock(const Outer& outer);
int look(const Secret& secret);
Refers refer(int number);
int follow(const Plain& plain);
int view(std::string_view text);
int change(Good& good);
Good keep(const Good& good);
LEASEPOOL_REGISTER(lock);    // says: Locked
LEASEPOOL_REGISTER(look);    // says: or give it, before this line: template <class Archive> void serialize(
LEASEPOOL_REGISTER(refer);   // says: at most 64; no base class
LEASEPOOL_REGISTER(follow);  // says: Outer
LEASEPOOL_REGISTER(view);    // says: such as std::string, std::vector or leasepool::SharedBuffer
LEASEPOOL_REGISTER(change);  // says: by const reference, and return what changed
LEASEPOOL_REGISTER(keep);
void of_unregistered(lp::ExecutorLease& lease, Locked& locked) {
  (void)lease.run([](Locked&) {}, std::ref(locked));
  (void)lease.run(look, Secret());
  (void)lease.run(view, "text");
}
