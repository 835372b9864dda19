// One TCP connection through a Stream: whatever is lost, comes twice, late, in other pieces or in another order, the
// receiver hears what was said, with its messages edited.
//
// An input is a row of choices: what either end says, then what happens to its segments. Edits and the expected text are
// stream_lab's; where messages end is known from how they were made.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "choices.h"
#include "core/stream_lab.h"
#include "property.h"

namespace sipnat::fuzz {

namespace {

using stream_lab::edited;
using stream_lab::Fate;
using stream_lab::Lab;

constexpr int kMostSteps = 200;

struct Said {
    std::vector<std::string> messages;
    bool ends_unread = false;  ///< the last one ends all reading, or is never whole
};

std::string message(Choices& choices) {
    // Two of the third have no room in one segment, and the fourth has none alone.
    static const std::array<std::string, 5> kEdited{"", "10.0.0.2", std::string(65, '+'),
                                                    std::string(150, '+'), std::string(100, '~')};
    const auto filling = std::string(choices.pick(4) * 40, 'b');
    const auto body = filling + choices.one_of(kEdited);
    const auto length = "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    switch (choices.pick(7)) {
        case 0:
            return "INVITE sip:b@h SIP/2.0\r\nContact: <sip:a@10.0.0.2>" + length;  // grows
        case 1:
            return "SIP/2.0 200 OK\r\nContact: <sip:198.51.100.20>" + length;  // shrinks
        case 2:
            return "OPTIONS sip:inside@h SIP/2.0\r\nX: y" + length;
        case 3:
            return "\r\n\r\n";
        case 4:
            return "\r\n";
        case 5:
            return "BYE sip:b@h SIP/2.0\r\n\r\n";
        default:
            return "INFO sip:b@h SIP/2.0\r\nv: x\r\n folded" + length;
    }
}

Said say(Choices& choices) {
    Said said;
    for (auto count = choices.pick(9); count > 0; --count)
        said.messages.push_back(message(choices));
    switch (choices.pick(8)) {
        case 1:
            said.messages.emplace_back(
                "GET / HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\nINVITE sip:10.0.0.2 SIP/2.0\r\n\r\n");
            said.ends_unread = true;
            break;
        case 2:
            said.messages.emplace_back("INVITE sip:10.0.0.2 SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\nx");
            said.ends_unread = true;
            break;
        case 3:
            said.messages.emplace_back("INVITE sip:10.0.0.2 SIP/2.0\r\nl: 100\r\n\r\nx");
            said.ends_unread = true;
            break;
        default:
            break;
    }
    return said;
}

/// Each message as it was or edited, in order: the latter unless something says that it may not be.
bool consists_of(const std::string& heard, const Said& said, bool all_edited) {
    std::vector<std::size_t> ends{0};
    for (std::size_t i = 0; i < said.messages.size(); ++i) {
        const auto& original = said.messages[i];
        const bool is_unread = said.ends_unread && i + 1 == said.messages.size();
        std::vector<std::size_t> further;
        for (const auto end : ends) {
            if (!is_unread && heard.compare(end, edited(original).size(), edited(original)) == 0)
                further.push_back(end + edited(original).size());
            const bool may_stay = is_unread || !all_edited;
            if (may_stay && heard.compare(end, original.size(), original) == 0)
                further.push_back(end + original.size());
        }
        ends = further;
    }
    return std::ranges::count(ends, heard.size()) > 0;
}

void run(std::string_view input) {
    Choices choices(input);
    constexpr std::array kFirst{1000U, 0xffffff80U, 0x7fffffc0U};
    Lab lab(static_cast<SequenceNumber>(choices.one_of(kFirst)),
            static_cast<SequenceNumber>(choices.one_of(kFirst)));
    const std::array said{say(choices), say(choices)};
    constexpr std::array kDirections{FlowDirection::original, FlowDirection::reply};
    std::array<std::int64_t, 2> come{};  // of each direction, without a gap
    for (std::size_t i = 0; i < 2; ++i) {
        for (const auto& text : said[i].messages)
            lab.from(kDirections[i]).says += text;
    }
    bool is_one_process = true;  // another one does not know what was sent on before
    lab.connect();
    for (int step = 0; step < kMostSteps && !choices.empty(); ++step) {
        const auto which = choices.pick(2);
        const auto direction = kDirections[which];
        auto& sender = lab.from(direction);
        constexpr std::array kFates{Fate::arrives, Fate::arrives, Fate::lost_behind,
                                    Fate::lost_before};
        switch (choices.pick(7)) {
            case 0:
            case 1: {
                const auto end = std::ssize(sender.says);
                const auto begin = std::min<std::int64_t>(
                    end, sender.acknowledged + choices.pick(16) * (choices.pick(2) == 0 ? 1 : 25));
                const auto stop = std::min<std::int64_t>(end, begin + 1 + choices.pick(200));
                const auto fate = choices.one_of(kFates);
                const bool is_old = is_one_process && stop <= come[which] && choices.pick(4) == 1;
                const bool fin = stop == end && choices.pick(4) == 1 && !is_old;
                if (begin == stop && !fin) break;
                const bool may_be_probe = stop - begin == 1;  // which nobody remembers
                if (fate != Fate::lost_before && begin <= come[which] && !may_be_probe) {
                    come[which] = std::max(come[which], stop);
                }
                lab.send(
                    direction, begin, stop, fate, fin,
                    is_old ? std::optional(std::string(static_cast<std::size_t>(stop - begin), '#'))
                           : std::nullopt);
                break;
            }
            case 2:
                lab.acknowledge(direction, choices.one_of(kFates));
                break;
            case 3:
                lab.wait(std::chrono::milliseconds(choices.pick(8) * 100));
                break;
            case 5:
                lab.is_batching = choices.pick(2) == 1;
                if (!lab.is_batching) lab.send_batch();
                break;
            case 4:
                lab.window = choices.pick(2) == 0 ? 500 : 0;
                break;
            default:
                if (lab.held() > 0 || !lab.is_all_acknowledged()) break;
                lab.restart();
                is_one_process = false;
                break;
        }
        require(lab.stream.kept_bytes() <= 4 * (kMostUnacknowledged + kMostEarlyBytes),
                "what is kept is bounded");
        require(lab.held() == lab.stream.held_segments(), "what has no verdict is held");
    }
    lab.window = 500;
    for (std::size_t i = 0; i < 2; ++i) {
        require(lab.finish(kDirections[i], 60), "all arrives in the end");
        const bool is_foreign = lab.count(StreamEvent::not_sip) > 0;
        const bool all_edited =
            lab.count(StreamEvent::late) + lab.count(StreamEvent::lost_track) == 0 && !is_foreign;
        require(consists_of(lab.heard(kDirections[i]), said[i], all_edited),
                "the receiver hears what was said");
    }
    require(lab.unknown_verdicts == 0, "each segment has one verdict");
    require(lab.count(StreamEvent::refused) == 0, "nothing is refused that was not");
}

}  // namespace

}  // namespace sipnat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sipnat::fuzz::run({reinterpret_cast<const char*>(data), size});
    return 0;
}
