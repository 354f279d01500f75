// Reads flight records, one after the other, from a JSON array or from one JSON object a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>

struct flight {
    std::string date;
    int delay;     // at the arrival, in minutes; less than 0: early
    int distance;  // in miles
    std::string origin;
    std::string destination;
};

/// Holds one record at a time, so the input may be of any length, or never end. What is no flight
/// is reported and skipped. A line is what ends with a newline; an array that is one long line has
/// all its records on line 1, so a report says also the how-manieth record it is.
///
/// In an array a broken record is taken to end with its first `}`, or before the next `{`: whatever
/// is wrong with it, those around it are read.
class flight_records {
public:
    static constexpr std::size_t longest = 4096;  // bytes of a record
    using report = std::function<void(std::size_t line, std::size_t record, std::string_view why)>;

    flight_records(std::istream& from, report malformed)
        : from_(*from.rdbuf()), malformed_(std::move(malformed)) {}

    /// The next flight; none: there are no more.
    std::optional<flight> next() {
        while (find_record()) {
            ++records_;
            std::string_view why = "too long, or cut off";
            if (ends_) {
                if (auto f = parse(why)) return f;
            }
            ++skipped_;
            malformed_(line_of_record_, records_, why);
            if (form_ == form::array) put_back_the_rest();
        }
        return {};
    }

    std::size_t records() const { return records_; }  // so far, with those skipped
    std::size_t skipped() const { return skipped_; }

private:
    static constexpr int end = -1;
    enum class form { unknown, array, lines };

    int get() {
        int c = end;
        if (at_ < again_.size()) {
            c = static_cast<unsigned char>(again_[at_++]);
        } else {
            const auto got = from_.sbumpc();
            if (!std::streambuf::traits_type::eq_int_type(got, std::streambuf::traits_type::eof()))
                c = static_cast<unsigned char>(std::streambuf::traits_type::to_char_type(got));
        }
        if (c == '\n') ++line_;
        return c;
    }
    void put_back(std::string_view s) {
        for (const char c : s) line_ -= c == '\n';
        again_ = std::string(s) + again_.substr(at_);
        at_ = 0;
    }
    int skip(std::string_view what) {
        int c = get();
        while (c != end && what.find(static_cast<char>(c)) != what.npos) c = get();
        return c;
    }

    // Leaves the next record in text_; ends_: as a whole.
    bool find_record() {
        static constexpr std::string_view blanks = " \t\r\n", byte_order_mark = "\xef\xbb\xbf";
        int c = skip(form_ == form::array ? " \t\r\n," : blanks);
        if (form_ == form::unknown) {
            if (c == static_cast<unsigned char>(byte_order_mark[0])) {
                if (get() == 0xbb && get() == 0xbf) c = skip(blanks);
            }
            form_ = c == '[' ? form::array : form::lines;
            if (form_ == form::array) return find_record();
        }
        if (form_ == form::array && c == ']') {
            form_ = form::lines;  // should anything follow
            return find_record();
        }
        text_.clear();
        ends_ = false;
        line_of_record_ = line_;
        if (c == end) return std::exchange(form_, form::lines) == form::array;  // an array cut off
        text_.push_back(static_cast<char>(c));
        if (form_ == form::lines) read_until("\n");
        else if (c == '{') read_object();
        else read_until(",{]\n");
        return true;
    }
    void read_until(std::string_view stops) {
        ends_ = true;
        for (int c = get(); c != end; c = get()) {
            const char one = static_cast<char>(c);
            if (stops.find(one) != stops.npos) return put_back(std::string_view(&one, 1));
            if (text_.size() < longest) text_.push_back(one);
            else ends_ = false;
        }
    }
    void read_object() {
        bool in_string = false, escaped = false;
        for (int depth = 1; text_.size() < longest;) {
            const int c = get();
            if (c == end) return;
            text_.push_back(static_cast<char>(c));
            if (escaped) escaped = false;
            else if (in_string && c == '\\') escaped = true;
            else if (c == '"') in_string = !in_string;
            else if (in_string && c == '\n') return;  // no string goes on
            else if (!in_string && c == '{') ++depth;
            else if (!in_string && c == '}' && --depth == 0) return void(ends_ = true);
        }
    }
    void put_back_the_rest() {
        if (text_.empty() || text_.front() != '{') return;
        const std::size_t brace = text_.find_first_of("{}", 1);
        if (brace == text_.npos) return;
        put_back(std::string_view(text_).substr(brace + (text_[brace] == '}')));
    }

    std::optional<flight> parse(std::string_view& why) const {
        const auto json = nlohmann::json::parse(text_, nullptr, false);  // false: no exceptions
        why = "not JSON";
        if (json.is_discarded()) return {};
        why = "not an object";
        if (!json.is_object()) return {};
        const auto date = string_in(json, "date");
        const auto delay = number_in(json, "delay", -100'000, 100'000);
        const auto distance = number_in(json, "distance", 0, 100'000);
        const auto origin = string_in(json, "origin"), destination = string_in(json, "destination");
        why = "no date";
        if (!date) return {};
        why = "no delay in whole minutes";
        if (!delay) return {};
        why = "no distance in whole miles";
        if (!distance) return {};
        why = "no airport of origin";
        if (!origin || !an_airport(*origin)) return {};
        why = "no airport of destination";
        if (!destination || !an_airport(*destination)) return {};
        return flight{*date, *delay, *distance, *origin, *destination};
    }
    static std::optional<std::string> string_in(const nlohmann::json& object, const char* name) {
        const auto found = object.find(name);
        if (found == object.end() || !found->is_string()) return {};
        return found->get<std::string>();
    }
    static std::optional<int> number_in(const nlohmann::json& object, const char* name, int least,
                                        int most) {
        const auto found = object.find(name);
        if (found == object.end() || !found->is_number_integer()) return {};
        if (found->is_number_unsigned() &&
            found->get<std::uint64_t>() > static_cast<std::uint64_t>(most))
            return {};
        const auto n = found->get<std::int64_t>();
        if (n < least || n > most) return {};
        return static_cast<int>(n);
    }
    static bool an_airport(std::string_view code) {
        return code.size() == 3 && code.find_first_not_of(
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789") == code.npos;
    }

    std::streambuf& from_;
    report malformed_;
    form form_ = form::unknown;
    std::string again_;  // read once, and to be read again, from at_ on
    std::size_t at_ = 0;
    std::string text_;  // the record
    bool ends_ = false;  // it is there as a whole
    std::size_t line_ = 1;
    std::size_t line_of_record_ = 1;
    std::size_t records_ = 0;
    std::size_t skipped_ = 0;
};
