// Every style of class and every container that cereal knows goes to another process and back, or is refused by name.
#include <array>
#include <atomic>
#include <cereal/types/base_class.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/serialize.hpp"

namespace carried {

// In each of cereal's styles, by members and outside of the class, with a version and without.
struct Serialize {
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
};
struct SaveLoad {
  int x = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(x);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(x);
  }
};
struct Minimal {
  int x = 0;
  template <class Archive>
  int save_minimal(const Archive& /*archive*/) const {
    return x;
  }
  template <class Archive>
  void load_minimal(const Archive& /*archive*/, const int& value) {
    x = value;
  }
};
struct Versioned {
  int x = 0;
  template <class Archive>
  void serialize(Archive& archive, std::uint32_t version) {
    if (version == 3) archive(x);
  }
};
struct SerializeOutside {
  int x = 0;
};
template <class Archive>
void serialize(Archive& archive, SerializeOutside& value) {
  archive(value.x);
}
struct SaveLoadOutside {
  int x = 0;
};
template <class Archive>
void save(Archive& archive, const SaveLoadOutside& value) {
  archive(value.x);
}
template <class Archive>
void load(Archive& archive, SaveLoadOutside& value) {
  archive(value.x);
}
struct MinimalOutside {
  int x = 0;
};
template <class Archive>
int save_minimal(const Archive& /*archive*/, const MinimalOutside& value) {
  return value.x;
}
template <class Archive>
void load_minimal(const Archive& /*archive*/, MinimalOutside& value, const int& x) {
  value.x = x;
}
class Private {
 public:
  int x = 0;

 private:
  friend class cereal::access;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
};
struct Derived : Serialize {
  int y = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Serialize>(this), y);
  }
};
struct OfVirtualBase : virtual Serialize {
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::virtual_base_class<Serialize>(this));
  }
};
struct Inherits : Serialize {};
struct Arrays {
  int x = 0;
  int more[3] = {};
  Serialize nested[2];
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::make_nvp("x", x), more, cereal::binary_data(nested, sizeof nested));
  }
};

// Can only be made by load_and_construct().
struct Constructed {
  explicit Constructed(int value) : x(value) {}
  int x;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Constructed>& construct) {
    int value = 0;
    archive(value);
    construct(value);
  }
};

struct Animal {
  Animal() = default;
  Animal(const Animal&) = delete;
  Animal& operator=(const Animal&) = delete;
  virtual ~Animal() = default;
  [[nodiscard]] virtual std::string says() const = 0;
  template <class Archive>
  void serialize(Archive& /*archive*/) {}
};
struct Dog final : Animal {
  std::string what = "woof";
  [[nodiscard]] std::string says() const override { return what; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(what);
  }
};

class Opaque {
 public:
  Opaque() = default;

 private:
  [[maybe_unused]] int x_ = 0;
};
struct NoDefault {
  explicit NoDefault(int value) : x(value) {}
  int x;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x);
  }
};
template <class T>
struct Deleter {
  void operator()(T* object) const { delete object; }
};

}  // namespace carried

CEREAL_CLASS_VERSION(carried::Versioned, 3)
CEREAL_REGISTER_TYPE(carried::Dog)
CEREAL_REGISTER_POLYMORPHIC_RELATION(carried::Animal, carried::Dog)

using namespace carried;
using namespace leasepool::detail;

namespace {

template <class T>
void round_trip(const T& value, T& result) {
  Bytes bytes;
  ByteWriter writer(bytes, SIZE_MAX);
  DescriptorWriter none_out;
  encode(writer, none_out, value);
  ByteReader reader(bytes.view());
  DescriptorReader none_in({});
  decode(reader, none_in, result);
}
template <class T>
T round_trip(const T& value) {
  T result{};
  round_trip(value, result);
  return result;
}

template <class T>
int x_of_round_trip() {
  STATIC_REQUIRE(kSerializable<T>);
  T value;
  value.x = 7;
  return round_trip(value).x;
}

// What holds a T in each way that there is.
template <template <class> class Check, class T>
constexpr bool in_every_container =
    Check<std::vector<T>>::value && Check<std::deque<T>>::value && Check<std::list<T>>::value &&
    Check<std::forward_list<T>>::value && Check<std::optional<T>>::value && Check<std::array<T, 2>>::value &&
    Check<std::map<int, T>>::value && Check<std::unordered_map<int, T>>::value && Check<std::pair<int, T>>::value &&
    Check<std::tuple<int, T>>::value && Check<std::variant<int, T>>::value && Check<std::vector<std::vector<T>>>::value;
template <template <class> class Check, class T>
constexpr bool behind_every_pointer =
    Check<std::unique_ptr<T>>::value && Check<std::unique_ptr<const T>>::value && Check<std::shared_ptr<T>>::value &&
    Check<std::shared_ptr<const T>>::value && Check<std::weak_ptr<T>>::value &&
    Check<std::unique_ptr<T, Deleter<T>>>::value && Check<std::vector<std::unique_ptr<T>>>::value;
template <class T>
using Refused = std::bool_constant<!kSerializable<T>>;

}  // namespace

TEST_CASE("a class of each of cereal's styles comes back equal", "[encoding]") {
  CHECK(x_of_round_trip<Serialize>() == 7);
  CHECK(x_of_round_trip<SaveLoad>() == 7);
  CHECK(x_of_round_trip<Minimal>() == 7);
  CHECK(x_of_round_trip<Versioned>() == 7);
  CHECK(x_of_round_trip<SerializeOutside>() == 7);
  CHECK(x_of_round_trip<SaveLoadOutside>() == 7);
  CHECK(x_of_round_trip<MinimalOutside>() == 7);
  CHECK(x_of_round_trip<Private>() == 7);
  CHECK(x_of_round_trip<Derived>() == 7);
  CHECK(x_of_round_trip<OfVirtualBase>() == 7);
  CHECK(x_of_round_trip<Inherits>() == 7);
  CHECK(x_of_round_trip<Arrays>() == 7);
}

TEST_CASE("containers and wrappers beside the usual ones come back equal", "[encoding]") {
  CHECK(round_trip(std::forward_list<std::string>{"a", "b", "c"}) == std::forward_list<std::string>{"a", "b", "c"});
  CHECK(round_trip(std::forward_list<int>{}).empty());
  CHECK(round_trip(std::queue<int>(std::deque{1, 2})) == std::queue<int>(std::deque{1, 2}));
  CHECK(round_trip(std::stack<int>(std::deque{1, 2})) == std::stack<int>(std::deque{1, 2}));
  std::priority_queue<int> urgent;
  for (const int value : {2, 3, 1}) urgent.push(value);
  CHECK(round_trip(urgent).top() == 3);
  const auto numbers = round_trip(std::valarray<double>{1, 2, 3});
  CHECK(numbers.size() == 3);
  CHECK(numbers.sum() == 6);
  CHECK(round_trip(std::valarray<bool>{true, false, true}).size() == 3);
  CHECK(round_trip(std::valarray<std::string>{"a", "b"})[1] == "b");
  std::forward_list<std::unique_ptr<int>> boxes;
  boxes.push_front(std::make_unique<int>(7));
  std::forward_list<std::unique_ptr<int>> back;
  round_trip(boxes, back);
  CHECK(*back.front() == 7);
  std::atomic<int> atomic = 7;
  std::atomic<int> result = 0;
  round_trip(atomic, result);
  CHECK(result == 7);
}

TEST_CASE("smart pointers bring what cereal can make: derived objects, and those without a default constructor",
          "[encoding]") {
  CHECK(round_trip(std::make_unique<Constructed>(7))->x == 7);
  CHECK(round_trip(std::make_shared<Constructed>(7))->x == 7);
  const std::vector<std::shared_ptr<const Constructed>> same(2, std::make_shared<Constructed>(7));
  const auto back = round_trip(same);
  REQUIRE(back.size() == 2);
  CHECK(back[0]->x == 7);
  CHECK(back[0] == back[1]);
  const std::unique_ptr<Animal> animal = std::make_unique<Dog>();
  std::unique_ptr<Animal> other;
  round_trip(animal, other);
  REQUIRE(other != nullptr);
  CHECK(other->says() == "woof");
  const std::shared_ptr<Animal> shared = std::make_shared<Dog>();
  CHECK(round_trip(shared)->says() == "woof");
  CHECK(*round_trip(std::unique_ptr<const int>(new int(7))) == 7);
  STATIC_REQUIRE(behind_every_pointer<Serializable, Serialize>);
}

TEST_CASE("what cannot be made is refused wherever it stands, and does not stop the build", "[not_serializable]") {
  STATIC_REQUIRE(in_every_container<Serializable, Serialize>);
  STATIC_REQUIRE(in_every_container<Refused, Opaque>);
  STATIC_REQUIRE(in_every_container<Refused, NoDefault>);
  STATIC_REQUIRE(in_every_container<Refused, Constructed>);
  STATIC_REQUIRE(in_every_container<Refused, int*>);
  STATIC_REQUIRE(in_every_container<Refused, std::string_view>);
  STATIC_REQUIRE(behind_every_pointer<Refused, Opaque>);
  STATIC_REQUIRE(behind_every_pointer<Refused, NoDefault>);
  STATIC_REQUIRE(behind_every_pointer<Refused, std::vector<Opaque>>);
  STATIC_REQUIRE_FALSE(kSerializable<Animal>);
  STATIC_REQUIRE_FALSE(kSerializable<std::pair<const int, int>>);
  STATIC_REQUIRE_FALSE(kSerializable<std::queue<Opaque>>);
  STATIC_REQUIRE_FALSE(kSerializable<std::stack<NoDefault>>);
  STATIC_REQUIRE_FALSE(kSerializable<std::priority_queue<Opaque>>);
  STATIC_REQUIRE_FALSE(kSerializable<std::valarray<Opaque>>);
  STATIC_REQUIRE_FALSE(kSerializable<std::atomic<Opaque>>);
}
