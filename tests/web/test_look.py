"""Language, theme and stillness of a page: query, cookie, header, in this order."""

from paged import Page, browser


def tag(answer):
    return Page(answer.text).all("html")[0]


def test_the_language_is_the_querys_then_the_cookies_then_the_browsers():
    assert tag(browser().get("/help"))["lang"] == "en"
    chinese = browser(**{"accept-language": "fr, zh-TW;q=0.8, en;q=0.3"})
    assert tag(chinese.get("/help"))["lang"] == "zh-CN"
    assert tag(chinese.get("/help?lang=en"))["lang"] == "en"
    assert tag(chinese.get("/help"))["lang"] == "en", "the cookie remembers"
    assert tag(browser().get("/help?lang=xx"))["lang"] == "en"
    assert tag(browser(**{"accept-language": "zh;q=x, ;;;"}).get("/help"))["lang"] == "en"


def test_the_theme_is_kept_in_a_cookie_that_scripts_cannot_read():
    one = browser()
    answer = one.get("/help?theme=dark")
    assert tag(answer)["data-theme"] == "dark"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Lax" in answer.headers["set-cookie"]
    assert tag(one.get("/help"))["data-theme"] == "dark"
    assert tag(browser().get("/help?theme=<b>"))["data-theme"] == "auto"


def test_a_page_answers_by_language_and_says_so_to_caches():
    assert "Accept-Language" in browser().get("/help").headers["vary"]
    assert "no" in browser().get("/help").headers["cache-control"]


def test_the_switches_keep_the_rest_of_the_address():
    text = browser().get("/audit?kind=vote.cast&page=1").text
    assert "/audit?kind=vote.cast&amp;page=1&amp;lang=zh" in text


def test_static_files_are_kept_by_their_digest():
    text = browser().get("/help").text
    address = next(one["href"] for one in Page(text).all("link") if one["rel"] == "stylesheet")
    answer = browser().get(address)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
