// ELF symbol tables (see elf(5)): the functions of a file are read once, their names when they stand in a stack.
#include "shared/symbols.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/background_thread.hpp"
#include "base/unique_fd.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail {

namespace {

using Elf = ElfW(Ehdr);
using Section = ElfW(Shdr);
using Symbol = ElfW(Sym);

constexpr std::uint64_t kMaxTable = std::uint64_t{512} << 20;
constexpr std::size_t kFramesInALine = 4;

// Part of a file, or nothing if it has no such part.
template <class T>
std::vector<T> read_part(int file, std::uint64_t offset, std::uint64_t size) {
  std::vector<T> part;
  if (size > kMaxTable) return part;
  part.resize(size / sizeof(T));
  const std::size_t bytes = part.size() * sizeof(T);
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t count =
        ::pread(file, reinterpret_cast<char*>(part.data()) + done, bytes - done, static_cast<off_t>(offset + done));
    if (count <= 0) return {};
    done += static_cast<std::size_t>(count);
  }
  return part;
}

std::string readable_name(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : symbol;
}

// The functions of a file, in the order of their addresses, one for each address.
class FunctionTable {
 public:
  // What a file is told by, should another one take its place.
  struct Identity {
    dev_t device{};
    ino_t inode{};
    std::int64_t modified{};
    std::int64_t size{};
    bool operator==(const Identity&) const = default;
  };

  explicit FunctionTable(const Identity& identity) : identity_(identity) {}

  void read(int file);
  [[nodiscard]] const Identity& identity() const noexcept { return identity_; }

  // The name of the function around an offset in the file; empty if there is none.
  std::string name_at(int file, std::uint64_t offset);

 private:
  struct Function {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::uint64_t name = 0;  // in the file
  };

  void read_table(int file, const Section& table, const Section& strings);

  const Identity identity_;
  std::vector<Function> functions_;
  std::uint64_t end_of_names_ = 0;
  std::unordered_map<std::uint64_t, std::string> names_;  // by address; of those that stood in a stack
};

void FunctionTable::read(int file) {
  const auto header = read_part<Elf>(file, 0, sizeof(Elf));
  if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return;
  const auto sections = read_part<Section>(file, header[0].e_shoff, std::uint64_t{header[0].e_shnum} * sizeof(Section));
  for (const std::uint32_t type :
       {std::uint32_t{SHT_SYMTAB}, std::uint32_t{SHT_DYNSYM}}) {  // a stripped file has the second alone
    for (const Section& section : sections) {
      if (section.sh_type == type && section.sh_link < sections.size() && functions_.empty()) {
        read_table(file, section, sections[section.sh_link]);
      }
    }
  }
  std::ranges::sort(functions_, [](const Function& left, const Function& right) {
    return left.address != right.address ? left.address < right.address : left.name < right.name;
  });
  const auto same = std::ranges::unique(functions_, {}, &Function::address);
  functions_.erase(same.begin(), same.end());
  functions_.shrink_to_fit();
}

void FunctionTable::read_table(int file, const Section& table, const Section& strings) {
  end_of_names_ = strings.sh_offset + strings.sh_size;
  const auto symbols = read_part<Symbol>(file, table.sh_offset, table.sh_size);
  functions_.reserve(symbols.size());
  for (const Symbol& symbol : symbols) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    functions_.push_back({.address = symbol.st_value,
                          .size = std::max<std::uint64_t>(symbol.st_size, 1),
                          .name = strings.sh_offset + symbol.st_name});
  }
}

// Names are read when they are asked for: the table of strings may be large.
std::string FunctionTable::name_at(int file, std::uint64_t offset) {
  constexpr std::uint64_t kMaxSymbol = 4096;
  constexpr int kNested = 8;  // a function may lie in a larger one
  auto function = std::ranges::upper_bound(functions_, offset, {}, &Function::address);
  for (int tries = 0; tries < kNested && function != functions_.begin(); ++tries) {
    --function;
    if (offset - function->address >= function->size) continue;
    std::string& name = names_[function->address];
    if (!name.empty() || function->name >= end_of_names_) return name;
    auto symbol = read_part<char>(file, function->name, std::min(end_of_names_ - function->name, kMaxSymbol));
    if (symbol.empty()) return {};
    symbol.back() = '\0';
    return name = readable_name(symbol.data());
  }
  return {};
}

// What has been read of the files: a deadline that ends several calls names the same functions again and again. Any
// thread; a file is read without the lock, as others want names meanwhile.
class FunctionTables {
 public:
  // Never destroyed: a background thread may still read as the program ends.
  static FunctionTables& instance() {
    static auto& tables = *new FunctionTables;
    return tables;
  }

  [[nodiscard]] bool has(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return tables_.contains(path);
  }

  void name_frames(const std::string& path, const std::vector<StackFrame*>& frames, UnreadSymbols unread) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0) return;
    const std::int64_t modified = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    const FunctionTable::Identity identity{
        .device = status.st_dev, .inode = status.st_ino, .modified = modified, .size = status.st_size};
    std::unique_lock lock(mutex_);
    if (!has(path, identity)) {
      if (unread == UnreadSymbols::stay_unnamed) return;
      lock.unlock();
      auto table = std::make_unique<FunctionTable>(identity);
      table->read(file.get());
      lock.lock();
      if (!has(path, identity)) tables_[path] = std::move(table);
    }
    FunctionTable& table = *tables_[path];
    for (StackFrame* const frame : frames) frame->function = table.name_at(file.get(), frame->offset);
  }

 private:
  [[nodiscard]] bool has(const std::string& path, const FunctionTable::Identity& identity) const {
    const auto found = tables_.find(path);
    return found != tables_.end() && found->second->identity() == identity;
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<FunctionTable>> tables_;
};

constexpr const char* kProgram = "/proc/self/exe";

// A file that this program has loaded.
struct LoadedModule {
  std::uint64_t base;
  std::string name;  // empty: the program itself
};

std::vector<LoadedModule> loaded_modules() {
  std::vector<LoadedModule> modules;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* into) {
        static_cast<std::vector<LoadedModule>*>(into)->push_back({.base = info->dlpi_addr, .name = info->dlpi_name});
        return 0;
      },
      &modules);
  return modules;
}

// Those of them that have symbols and have not been read, the program's own first.
std::vector<std::string> unread_files() {
  std::vector<std::string> files;
  for (const LoadedModule& module : loaded_modules()) {
    const std::string path = module.name.empty() ? kProgram : module.name;
    // Without a path: what the kernel brings itself.
    if (path.starts_with('/') && !FunctionTables::instance().has(path)) files.push_back(path);
  }
  return files;
}

class ReadingAhead final : public BackgroundTask {
 public:
  explicit ReadingAhead(std::vector<std::string> files) : files_(std::move(files)) {}
  void run() noexcept override {
    try {
      for (const std::string& file : files_) {
        FunctionTables::instance().name_frames(file, {}, UnreadSymbols::are_read);
      }
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then they are read when they are wanted
    }
  }

 private:
  const std::vector<std::string> files_;
};

// What a worker wrote, as text that can be shown.
std::string printable(std::string_view text) {
  std::string shown(text.substr(0, text.find('\0')));
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c == '\x7f'; }, '?');
  return shown;
}

std::string program_path() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink(kProgram, path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "(the program)";
}

// "f(int) const" is "f", and "f(int) [clone .cold]" too.
std::string without_parameters(const std::string& function) {
  std::size_t open = 0;
  for (std::size_t at = function.rfind(')'); at != std::string::npos && at > 0; --at) {
    if (function[at] == ')') ++open;
    if (function[at] == '(' && --open == 0) return function.substr(0, at);
  }
  return function;
}

// A function of ours, or one that a function of ours defines: not what has one of our types for a template argument.
// Some names of newer compilers cannot be demangled.
bool is_of_the_library(std::string_view function) {
  constexpr std::string_view kOurs = "leasepool::detail::";
  constexpr std::string_view kMangled = "9leasepool6detail";
  if (function.starts_with("_Z")) return function.substr(0, function.find('I')).contains(kMangled);
  std::size_t depth = 0;
  for (std::size_t at = 0; at < function.size(); ++at) {
    if (function[at] == '<') ++depth;
    if (function[at] == '>' && depth != 0) --depth;
    if (depth != 0) continue;
    if (function[at] == '(' && !function.substr(at).starts_with("(anonymous namespace)")) return false;
    if (function.substr(at).starts_with(kOurs) && (at == 0 || function[at - 1] == ' ')) return true;
  }
  return false;
}

// _Unwind_FindEnclosingFunction() looks before the address that it gets, as that of a caller is behind its call.
FunctionAddress begin_of(const StackFrame& frame, std::size_t index) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): as read from the stack
  auto* const behind = reinterpret_cast<void*>(frame.address + (index == 0 ? 1 : 0));
  return reinterpret_cast<FunctionAddress>(::_Unwind_FindEnclosingFunction(behind));
}

CallFrame role_of(const StackFrame& frame, std::size_t index, std::string_view function) {
  if (is_of_the_library(frame.function)) {
    return frame.function.contains("call_registered") ? CallFrame::caller : CallFrame::other;
  }
  if (without_parameters(frame.function) == function) return CallFrame::function;
  return frame_in_call(function, begin_of(frame, index));  // its file may have no symbols
}

// From the call's own function on, what runs is the library's. Where the function was inlined, the frame that calls it
// is its own.
void leave_out_the_library(StackTrace& stack, std::string_view function) {
  bool has_function = false;
  std::size_t depth = 0;
  for (; depth < stack.size(); ++depth) {
    const CallFrame frame = role_of(stack[depth], depth, function);
    if (frame == CallFrame::caller && !has_function) stack[depth++].function = function;
    if (frame == CallFrame::caller) break;
    if (is_of_the_library(stack[depth].function)) break;
    if (frame != CallFrame::function) continue;
    has_function = true;
    if (stack[depth].function.empty()) stack[depth].function = function;
  }
  stack.resize(depth);
}

}  // namespace

StackTrace read_stack(const StackNote& note, std::string_view function, UnreadSymbols unread) {
  StackTrace stack;
  const std::size_t depth = std::min<std::uint64_t>(note.depth, StackNote::kMaxFrames);
  stack.resize(depth);
  const std::vector<LoadedModule> loaded = loaded_modules();
  const std::string program = program_path();
  for (std::size_t index = 0; index < StackNote::kMaxModules; ++index) {
    const StackNote::Module module = note.modules[index];
    const std::string name = printable({module.name.data(), module.name.size()});
    std::vector<StackFrame*> frames;
    for (std::size_t i = 0; i < depth; ++i) {
      if (note.frames[i].module != index) continue;
      stack[i].module = name.empty() ? program : name;
      // A caller is named by the call that it has not returned from, not by what comes after it.
      stack[i].offset = note.frames[i].address - module.base - (i == 0 ? 0 : 1);
      frames.push_back(&stack[i]);
    }
    const bool ours = std::ranges::any_of(
        loaded, [&](const LoadedModule& own) { return own.base == module.base && own.name == name; });
    if (!frames.empty() && ours) FunctionTables::instance().name_frames(name.empty() ? kProgram : name, frames, unread);
  }
  for (std::size_t i = 0; i < depth; ++i) stack[i].address = note.frames[i].address;
  leave_out_the_library(stack, function);
  return stack;
}

std::string function_at(FunctionAddress address) {
  dl_find_object found{};
  if (::_dl_find_object(reinterpret_cast<void*>(address), &found) != 0 || found.dlfo_link_map == nullptr) return {};
  const link_map& module = *found.dlfo_link_map;
  StackFrame frame{.address = reinterpret_cast<std::uintptr_t>(address)};
  frame.offset = frame.address - module.l_addr;
  FunctionTables::instance().name_frames(*module.l_name == '\0' ? kProgram : module.l_name, {&frame},
                                         UnreadSymbols::are_read);
  return frame.function;
}

void read_symbols_ahead() {
  static auto& thread = *new BackgroundThread("leasepool-names", Duration::zero());
  static std::weak_ptr<ReadingAhead> under_way;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!under_way.expired()) return;
  std::vector<std::string> files = unread_files();
  if (files.empty()) return;
  auto reading = std::make_shared<ReadingAhead>(std::move(files));
  under_way = reading;
  if (!thread.add(reading)) reading->run();
}

std::string in_a_line(const StackTrace& stack) {
  std::string line;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    const bool is_last = i + 1 == stack.size();  // the call's function, behind what the C library does to abort()
    if (i >= kFramesInALine && !is_last) continue;
    if (i != 0) line += i > kFramesInALine ? " < ... < " : " < ";
    line += stack[i].function.empty() ? "?" : without_parameters(stack[i].function);
  }
  return line;
}

}  // namespace leasepool::detail
