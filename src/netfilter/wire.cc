#include "netfilter/wire.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace sipnat::netfilter {
namespace {

constexpr std::size_t kMessageHead = 16;
constexpr std::size_t kNetfilterHead = 4;
constexpr std::size_t kAttributeHead = 4;

template <class Value>
void append(Buffer& out, const Value& value) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof value);
}

template <class Value>
Value read(Bytes bytes, std::size_t offset) {
    Value value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

std::uint32_t big_endian(Bytes bytes) {
    std::uint32_t value = 0;
    for (const std::uint8_t byte : bytes) {
        value = value << 8U | byte;
    }
    return value;
}

}  // namespace

std::uint8_t address_family(Family family) {
    return family == Family::ipv4 ? AF_INET : AF_INET6;
}

MessageWriter::MessageWriter(Buffer& out, const MessageHead& head) : out_(out), start_(out.size()) {
    append(out_, std::uint32_t{0});
    append(out_, head.type);
    append(out_, head.flags);
    append(out_, head.sequence);
    append(out_, std::uint32_t{0});
}

MessageWriter::MessageWriter(Buffer& out, const MessageHead& head, const NetfilterHead& netfilter)
    : MessageWriter(out, head) {
    const std::array<std::uint8_t, kNetfilterHead> bytes{
        netfilter.family, 0, static_cast<std::uint8_t>(netfilter.resource >> 8U),
        static_cast<std::uint8_t>(netfilter.resource)};
    put_raw(bytes);
}

MessageWriter::~MessageWriter() {
    const auto length = static_cast<std::uint32_t>(out_.size() - start_);
    std::memcpy(out_.data() + start_, &length, sizeof length);
}

void MessageWriter::put_raw(Bytes bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    out_.resize(start_ + aligned(out_.size() - start_));
}

void MessageWriter::put(std::uint16_t type, Bytes payload) {
    const std::size_t start = out_.size();
    append(out_, std::uint16_t{0});
    append(out_, type);
    out_.insert(out_.end(), payload.begin(), payload.end());
    close_attribute(start);
}

void MessageWriter::put_u8(std::uint16_t type, std::uint8_t value) {
    put(type, {&value, 1});
}

void MessageWriter::put_be16(std::uint16_t type, std::uint16_t value) {
    put(type, std::array{static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)});
}

void MessageWriter::put_be32(std::uint16_t type, std::uint32_t value) {
    put(type,
        std::array{static_cast<std::uint8_t>(value >> 24U), static_cast<std::uint8_t>(value >> 16U),
                   static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)});
}

void MessageWriter::put_text(std::uint16_t type, std::string_view text) {
    const std::size_t start = out_.size();
    append(out_, std::uint16_t{0});
    append(out_, type);
    out_.insert(out_.end(), text.begin(), text.end());
    out_.push_back(0);
    close_attribute(start);
}

std::size_t MessageWriter::open_nest(std::uint16_t type) {
    const std::size_t start = out_.size();
    append(out_, std::uint16_t{0});
    append(out_, static_cast<std::uint16_t>(type | NLA_F_NESTED));
    return start;
}

void MessageWriter::close_attribute(std::size_t start) {
    const std::size_t length = out_.size() - start;
    if (length > UINT16_MAX) {
        std::abort();
    }
    const auto field = static_cast<std::uint16_t>(length);
    std::memcpy(out_.data() + start, &field, sizeof field);
    out_.resize(start + aligned(length));
}

std::optional<std::uint8_t> Attribute::u8() const {
    return payload.empty() ? std::nullopt : std::optional(payload[0]);
}

std::optional<std::uint16_t> Attribute::be16() const {
    return payload.size() < 2
               ? std::nullopt
               : std::optional(static_cast<std::uint16_t>(big_endian(payload.first(2))));
}

std::optional<std::uint32_t> Attribute::be32() const {
    return payload.size() < 4 ? std::nullopt : std::optional(big_endian(payload.first(4)));
}

std::optional<std::uint32_t> Attribute::host32() const {
    return payload.size() < 4 ? std::nullopt : std::optional(read<std::uint32_t>(payload, 0));
}

std::string_view Attribute::text() const {
    const std::string_view all(reinterpret_cast<const char*>(payload.data()), payload.size());
    return all.substr(0, all.find('\0'));
}

std::optional<Attribute> next_attribute(Bytes& rest) {
    if (rest.size() < kAttributeHead) {
        return std::nullopt;
    }
    const auto length = read<std::uint16_t>(rest, 0);
    if (length < kAttributeHead || length > rest.size()) {
        return std::nullopt;
    }
    const Attribute attribute{
        static_cast<std::uint16_t>(read<std::uint16_t>(rest, 2) & NLA_TYPE_MASK),
        rest.subspan(kAttributeHead, length - kAttributeHead)};
    rest = rest.subspan(std::min(aligned(length), rest.size()));
    return attribute;
}

std::optional<Bytes> MessageView::netfilter_attributes() const {
    return body.size() < kNetfilterHead ? std::nullopt
                                        : std::optional(body.subspan(kNetfilterHead));
}

std::uint16_t MessageView::resource() const {
    return body.size() < kNetfilterHead ? std::uint16_t{0}
                                        : static_cast<std::uint16_t>(body[2] << 8U | body[3]);
}

std::optional<MessageView> next_message(Bytes& rest) {
    if (rest.size() < kMessageHead) {
        return std::nullopt;
    }
    const auto length = read<std::uint32_t>(rest, 0);
    if (length < kMessageHead || length > rest.size()) {
        return std::nullopt;
    }
    const MessageView message{
        {read<std::uint16_t>(rest, 4), read<std::uint16_t>(rest, 6), read<std::uint32_t>(rest, 8)},
        rest.subspan(kMessageHead, length - kMessageHead)};
    rest = rest.subspan(std::min(aligned(length), rest.size()));
    return message;
}

}  // namespace sipnat::netfilter
