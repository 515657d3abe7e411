import "./shop.css";

// A quantity takes effect when it is changed; without JavaScript the button beside it does the same.
for (const input of document.querySelectorAll("form[data-instant] input[type=number]")) {
  input.addEventListener("change", () => input.form.requestSubmit());
  input.form.querySelector("button").hidden = true;
}
