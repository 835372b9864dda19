// A fuzzer's input as a row of choices, one byte each, so that a seed is readable text.
//
//     Choices choices("2a0");
//     choices.pick(8)        '2' is 2; digits and letters count up from '0' and 'a' = 10
//
// What is missing at the end counts as 0: the first of every choice is the harmless one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sipnat::fuzz {

class Choices {
  public:
    explicit Choices(std::string_view input) : rest_(input) {}

    [[nodiscard]] bool empty() const { return rest_.empty(); }
    /// 0 to `count` - 1.
    unsigned pick(unsigned count) {
        const unsigned char byte = next();
        const unsigned value = byte >= '0' && byte <= '9'   ? byte - '0'
                               : byte >= 'a' && byte <= 'z' ? byte - 'a' + 10
                                                            : byte;
        return value % count;
    }
    template <class List>
    const auto& one_of(const List& list) {
        return list[pick(static_cast<unsigned>(std::size(list)))];
    }
    unsigned char next() {
        if (rest_.empty()) return '0';
        const auto byte = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        return byte;
    }
    /// All up to `end`, which is passed over, or up to the end.
    std::string_view until(char end) {
        const auto text = rest_.substr(0, rest_.find(end));
        rest_.remove_prefix(std::min(rest_.size(), text.size() + 1));
        return text;
    }

  private:
    std::string_view rest_;
};

}  // namespace sipnat::fuzz
